needs-y := data config core
test-y := test_pretoken test_bpe test_bpe_files test_bpe_train test_bpe_peers test_tokenizers
test-y += test_token_file test_dataset test_batches test_batch_loader
