cmd-y := train eval generate bench data config convert report doctor
table-y := cmd
list-y := table.o model_options.o eval_data.o eval_tasks.o eval_hellaswag.o $(addsuffix .o,$(cmd-y))
