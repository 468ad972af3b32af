test-y := test_timing test_record test_judged_lines test_machine test_breakdown test_gemm_rates test_storage test_train_bench test_tokenizer_bench test_step_bench test_inference_bench test_step_server test_bench_scripts
needs-y := bench train optim model data track config core kernels
