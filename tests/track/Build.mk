test-y := test_run_dir test_status test_metrics_log test_tensorboard test_manifest test_index test_system_stats test_ledger test_mirror
needs-y := track config core
$(B)/tests/test_track: | $(B)/tests/fake_gpus.so
