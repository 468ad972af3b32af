list-y := sampling.o text_stream.o hellaswag.o
torch-y := generation.o scoring.o loaded_model.o convert.o
