list-y += adamw_step_scalar.o adamw_step_avx2.o adamw_step_avx512.o
list-y += dropout_mask_scalar.o dropout_mask_avx2.o dropout_mask_avx512.o
