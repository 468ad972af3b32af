test-y := test_batch_plan test_preflight test_text test_state test_checkpoint_store test_training test_records \
	test_resume test_failures
needs-y := train optim model data track config core kernels
