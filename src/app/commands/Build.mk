cmd-y := train eval generate bench data config convert report doctor
table-y := cmd
list-y := table.o $(addsuffix .o,$(cmd-y))
