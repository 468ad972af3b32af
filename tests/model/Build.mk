test-torch-y := test_gpt2
needs-y := model data config core kernels
