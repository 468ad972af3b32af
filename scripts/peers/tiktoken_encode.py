#!/usr/bin/env python3
"""Encodes a text with tiktoken when asked: the rival of `knlp bench tokenizer`.

    tiktoken_encode.py RANKS.tiktoken TEXT

The first line says {"ready", "version", "tokens", "checksum"}: the number of ids, and the sum of (place + 1) id.
"run N" encodes N times, on one thread: {"step_s"}.
"""
import base64
import json
import sys
import time
from importlib.metadata import version

import tiktoken

from tokenizer import PATTERN


def main():
    ranks_file, text_file = sys.argv[1:]
    with open(ranks_file, "rb") as file:
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in file if line.strip())}
    encoding = tiktoken.Encoding("given", pat_str=PATTERN, mergeable_ranks=ranks,
                                 special_tokens={"<|endoftext|>": len(ranks)})
    with open(text_file, encoding="utf-8", newline="") as file:
        text = file.read()
    ids = encoding.encode_ordinary(text)
    print(json.dumps({"ready": True, "version": version("tiktoken"), "tokens": len(ids),
                      "checksum": sum((i + 1) * v for i, v in enumerate(ids))}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"'{line.strip()}' is no request: run N")
        seconds = []
        for _ in range(int(words[1])):
            begin = time.perf_counter()
            encoding.encode_ordinary(text)
            seconds.append(time.perf_counter() - begin)
        print(json.dumps({"step_s": seconds}), flush=True)


if __name__ == "__main__":
    main()
