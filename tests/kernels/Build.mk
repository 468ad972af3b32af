test-y := test_all_backends
needs-y := core kernels
