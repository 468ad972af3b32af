fuzz-targets := dotconfig elf gzip json metrics safetensors tokenfile tokenizer
test-y := test_corpora $(addprefix fuzz_,$(fuzz-targets))
needs-y := data track config core
