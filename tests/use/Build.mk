test-y := test_sampling test_text_stream test_hellaswag
test-torch-y := test_decoder test_inference_memory test_generation test_scoring test_convert test_gradient_peers test_use_cli
needs-y := model data config core kernels
