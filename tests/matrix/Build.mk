test-y := test_distributions test_statistics test_analysis test_cell_result
needs-y := matrix track config core kernels
