#!/usr/bin/env python3
"""Writes tests/golden/bpe_train.json: byte-pair merges of a small text, learnt in the slowest and plainest way.

All pairs are counted anew for every merge, over the distinct words of GPT-2's pattern, here written with the
categories of Python's unicodedata. Highest count first; ties to the smaller pair of byte strings. Nothing of knlp
is used. Usage: tests/golden/bpe_train.py > tests/golden/bpe_train.json
"""
import base64
import collections
import json
import unicodedata

TEXT = (
    "She sells sea shells by the sea shore; the shells she sells are sea shells, I'm sure.\n\n"
    "aaaa aaa aa a aaaaaaa  bbbb   abab ababab\tbaba\n"
    "naïve café Ünïcode ÜNÏCODE ９９ 1234 12 123412 x²+y² — „quoted“ 日本語 日本 日 🙂🙂 🙂\r\n"
    "we've they've they'll I'd don't DON'T 'tis\n"
    "for (int i = 0; i < n; ++i) { sum += x[i]; }\n    for (int j = 0; j < n; ++j) { sum += y[j]; }\n"
)
N_MERGES = 120
SPACES = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}


def kind(ch):
    if ch in SPACES:
        return "S"
    category = unicodedata.category(ch)[0]
    return category if category in "LN" else "O"


def words(text):
    at = 0
    while at < len(text):
        begin = at
        contraction = next((c for c in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") if text.startswith(c, at)), None)
        body = at + 1 if text[at] == " " and at + 1 < len(text) else at
        if contraction:
            at += len(contraction)
        elif kind(text[body]) != "S":
            wanted = kind(text[body])
            at = body
            while at < len(text) and kind(text[at]) == wanted:
                at += 1
        else:
            while at < len(text) and kind(text[at]) == "S":
                at += 1
            if at < len(text) and at - begin > 1:
                at -= 1
        yield text[begin:at].encode()


def main():
    counts = collections.Counter(words(TEXT))
    split = {word: [bytes([b]) for b in word] for word in counts}
    merges = []
    for _ in range(N_MERGES):
        pairs = collections.Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in split.items():
            joined, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    joined.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    joined.append(parts[i])
                    i += 1
            split[word] = joined
    def b64(data):
        return base64.b64encode(data).decode()
    print(json.dumps({
        "source": "tests/golden/bpe_train.py, Python 3.11",
        "text": TEXT,
        "words": [b64(word) for word in words(TEXT)],
        "merges": [[b64(left), b64(right)] for left, right in merges],
    }, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
