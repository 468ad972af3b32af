needs-y := data config core
test-y := test_pretoken test_bpe test_bpe_files test_bpe_train test_bpe_peers test_tokenizers
test-y += test_token_file test_dataset test_batches test_batch_loader test_window_documents
test-y += test_linuxdoc test_corpus_text test_synthetic test_import_tokens test_staged_directory
test-y += test_inspect test_resolve test_data_verb
