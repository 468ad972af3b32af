cuda-$(CONFIG_USE_CUDA) := dropout_mask.o device_name.o device_memory.o
