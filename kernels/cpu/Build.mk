list-y += adamw_step_scalar.o adamw_step_avx2.o adamw_step_avx512.o
list-y += dropout_mask_scalar.o dropout_mask_avx2.o dropout_mask_avx512.o
list-y += gemm_scalar.o gemm_avx2.o gemm_avx512.o gemm_avx512_bf16.o
list-y += causal_attention_scalar.o causal_attention_avx2.o causal_attention_avx512.o
list-y += decode_scalar.o decode_avx2.o decode_avx512.o
list-y += peak_rate_scalar.o peak_rate_avx2.o peak_rate_avx512.o memory_stream_scalar.o memory_stream_avx2.o memory_stream_avx512.o
