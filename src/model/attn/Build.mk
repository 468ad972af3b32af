list-y := table.o
attn-y := causal
table-y := attn
torch-y := attend.o $(addsuffix .o,$(attn-y))
