test-y := test_all_backends test_causal_attention test_decode test_peak_rate test_memory_stream test_gemm
test-y += test_layer_norm test_cross_entropy test_elementwise
needs-y := core kernels
