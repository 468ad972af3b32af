# Plans of test matrices, their runners, and what finished runs say together; no LibTorch.
list-y := distributions.o statistics.o cell_result.o analysis.o power.o pilot.o plan_file.o members.o cell_config.o decimal.o axes.o rules.o expand.o fairness.o history.o baseline.o planner.o plan_directory.o \
	claim.o attempts.o cell_state.o journal.o estimate.o cell_table.o lease.o child.o memory_book.o live_table.o runner_local.o run_cell.o verify.o
list-y += results.o first_weights.o
list-y += slurm_script.o slurm_submit.o slurm_queue.o
