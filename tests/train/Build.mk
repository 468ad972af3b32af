test-y := test_batch_plan test_preflight test_preset_costs test_saver test_text test_state test_checkpoint_store test_training test_records \
	test_resume test_resume_choices test_failures test_endurance test_memory_prediction test_train_command test_bench_command test_reliability test_make
test-torch-y := test_laws test_snapshot test_device_steps
needs-y := train optim model data track config core kernels
$(B)/tests/test_train: | $(B)/tests/crash_shim.so $(B)/tests/malloc_shim.so $(B)/tests/throwing_shim.so \
	$(B)/tests/no_onednn_shim.so $(B)/tests/fake_gpus.so
