list-y := batch_plan.o peak_memory.o preflight.o saver.o text.o state.o checkpoint.o checkpoint_store.o record.o progress.o trainer.o resume.o setup.o step_memory.o shape.o measure.o outlook.o describe.o loop.o loop_end.o loop_save.o evaluator.o sanity.o sample.o
torch-y := snapshot.o tensors.o save_trial.o device_feed.o device_steps.o
