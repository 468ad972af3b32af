test-y := test_strict_load test_dot_config test_targets test_variables test_presets test_lint
needs-y :=
