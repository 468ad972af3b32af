test-y := test_expr test_evaluate test_semantic test_dot_config test_symbols test_precedence test_rules \
	test_readers test_read_slurm test_environment test_record test_build_info test_kconfig_agreement
needs-y := config core kernels
