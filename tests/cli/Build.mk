test-y := test_usage test_version test_config_verb test_overrides test_doctor test_shell test_network test_documents test_setup test_make_venv
needs-y := config core kernels
