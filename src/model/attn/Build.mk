attn-y := causal
table-y := attn
torch-y := table.o $(addsuffix .o,$(attn-y))
