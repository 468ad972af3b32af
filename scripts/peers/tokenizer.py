#!/usr/bin/env python3
"""Encodes a file with other programs' readers of a tokenizer that knlp saved.

usage: tokenizer.py DIRECTORY TEXT_FILE
DIRECTORY holds vocab.json, merges.txt and ranks.tiktoken. Prints one JSON object: the ids by Hugging Face
tokenizers and by transformers, and by tiktoken where it is installed.
"""
import json
import sys

from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Tokenizer

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def by_tiktoken(directory, text):
    try:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
    except ImportError:
        return None
    ranks = load_tiktoken_bpe(f"{directory}/ranks.tiktoken")
    encoding = tiktoken.Encoding("saved", pat_str=PATTERN, mergeable_ranks=ranks,
                                 special_tokens={"<|endoftext|>": len(ranks)})
    return encoding.encode_ordinary(text)


def main():
    directory, path = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    vocab, merges = f"{directory}/vocab.json", f"{directory}/merges.txt"
    hugging_face = ByteLevelBPETokenizer(vocab, merges)
    result = {"tokenizers": hugging_face.encode(text).ids,
              "transformers": GPT2Tokenizer(vocab, merges)(text)["input_ids"],
              "eot": GPT2Tokenizer(vocab, merges).convert_tokens_to_ids("<|endoftext|>")}
    tiktoken_ids = by_tiktoken(directory, text)
    if tiktoken_ids is not None:
        result["tiktoken"] = tiktoken_ids
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
