list-y := utf8.o unicode.o pretoken.o
list-y += tokenizer.o tokenizer_byte.o tokenizer_char.o
list-y += bpe_merges.o bpe_tokenizer.o bpe_files.o bpe_train.o
list-y += token_file.o token_writer.o dataset.o batches.o batch_loader.o documents.o
list-y += corpus_linuxdoc.o corpus_text.o corpus_synthetic.o
list-y += prepare.o import_tokens.o resolve.o inspect.o
