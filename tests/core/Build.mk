test-y := test_error test_parse test_text test_file test_archive test_file_crash test_gzip test_elf test_hash test_json test_safetensors \
	test_safetensors_hostile test_rng test_half test_stats test_parallel test_host test_signals test_log test_memory test_memory_estimate test_profile
needs-y := core
$(B)/tests/test_core: | $(B)/tests/crash_shim.so $(B)/tests/atomic_writer
