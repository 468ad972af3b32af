test-y := test_all_backends test_causal_attention test_decode test_peak_rate test_memory_stream
needs-y := core kernels
