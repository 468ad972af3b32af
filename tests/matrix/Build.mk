test-y := test_plan_file test_cell_config test_decimal test_axes test_expand test_planner test_baseline test_plan_verb test_make_matrix test_distributions test_statistics test_statistics_peers test_analysis test_cell_result test_power test_pilot test_power_verb test_claim test_cell_state test_runner test_run_cell test_run_matrix
test-y += test_results
test-y += test_slurm test_submit_verb
needs-y := matrix train optim model data track config core kernels
