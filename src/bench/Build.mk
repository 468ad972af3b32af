list-y := timing.o bandwidth.o record.o tokenizer.o tokens.o data.o
torch-y := step.o step_server.o
# The sum must be vectorized to reach memory.
flags-src/bench/bandwidth.o := -O3
