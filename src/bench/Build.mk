list-y := timing.o bandwidth.o machine.o record.o judged_lines.o tokenizer.o tokens.o data.o breakdown.o gemm_rates.o scratch.o storage.o train.o step.o step_server.o inference.o memory.o
