attn-y := causal
table-y := attn
torch-y := table.o attend.o $(addsuffix .o,$(attn-y))
