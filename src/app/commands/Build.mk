# The verbs. A row in cmd-y is a file with its `cmd_<name>`; the other objects are their helpers.
cmd-y := train eval generate bench data config convert matrix report doctor completion man
table-y := cmd
list-y := table.o $(addsuffix .o,$(cmd-y)) model_options.o model_memory.o eval_data.o eval_tasks.o eval_hellaswag.o data_make.o data_use.o bench_requests.o bench_inference.o bench_session.o matrix_power.o matrix_submit.o matrix_package.o report_ledger.o report_check.o matrix_plan.o matrix_extend.o matrix_build.o matrix_text.o unfinished.o matrix_cells.o matrix_run.o matrix_run_cell.o matrix_status.o matrix_continue.o matrix_rerun.o matrix_estimate.o
