list-y := device_graph.o inference.o sampling.o text_stream.o hellaswag.o loaded_model.o inference_memory.o sizes.o
torch-y := decoder.o generation.o scoring.o convert.o
torch-y += gpt2.o cpu_model.o layers.o gemm.o head.o dropout.o cache.o runtime.o weights.o anomaly.o
list-y += model_json.o hf_config.o find_model.o intact.o device_peak.o
torch-y += $(if $(CONFIG_USE_CUDA),device_cuda.o device_graph_cuda.o)
list-y += $(if $(CONFIG_USE_CUDA),,device_cpu.o)
