list-y := timing.o bandwidth.o machine.o record.o tokenizer.o tokens.o data.o breakdown.o
torch-y := step.o step_server.o
