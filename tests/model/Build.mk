test-y := test_device_peak test_model_files
test-torch-y := one_thread test_gpt2 test_attention_variants test_head_loss test_dropout test_gemm \
	test_cpu_passes test_runtime test_weights $(if $(CONFIG_USE_CUDA),test_cuda)
needs-y := model data config core kernels
