list-y := batch_plan.o preflight.o text.o state.o checkpoint.o checkpoint_store.o record.o progress.o
torch-y := trainer.o setup.o measure.o describe.o loop.o loop_end.o evaluator.o sanity.o sample.o tensors.o
