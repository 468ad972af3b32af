test-y := test_run_dir test_status test_metrics_log test_tensorboard test_manifest test_index
needs-y := track config core
