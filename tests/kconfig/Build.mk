test-y := test_strict_load
needs-y :=
