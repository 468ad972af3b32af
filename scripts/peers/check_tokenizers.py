"""Byte-level BPE against Hugging Face tokenizers: a vocabulary trained here, and GPT-2's."""
import base64
import json
import random

from tokenizers import ByteLevelBPETokenizer

SEED = 20261123
VOCAB = 2000  # of the trained BPE


def texts(peers):
    """Text of the sources, and hard cases: every kind of blank, digit, letter, mark and emoji."""
    draw = random.Random(SEED)
    yield "sources", peers.text().read_text(encoding="utf-8")[:200000]
    blanks = " \t\n\r\x0b\x0c\u00a0\u1680\u2003\u2028\u3000\u0085"
    kinds = [blanks, "abcXYZ", "éßøΩЖשعहไ中あ한", "0123٣४②Ⅷ", "'s't're'll'd", "!?.,-_()[]{}<>|/", "😀👩‍🚀🇩🇪", "\u0301\u0308\u200d\ufeff"]
    yield "random", "".join(draw.choice(draw.choice(kinds)) for _ in range(20000))
    yield "any code point", "".join(chr(c) for c in (draw.randrange(0x110000) for _ in range(20000))
                                    if not 0xD800 <= c < 0xE000)
    yield "one letter", "a" * 3000 + " " * 3000 + "\n" * 500


def encode(peers, tokenizer, source):
    return [int(word) for word in peers.knlp("data", "encode", "--tokenizer", tokenizer, source).split()]


def compare(peers, name, tokenizer_directory, theirs):
    for kind, text in texts(peers):
        source = peers.scratch / "encode.txt"
        source.write_bytes(text.encode())
        ids = encode(peers, tokenizer_directory, source)
        peers.equal(f"{name}: {kind}", ids, theirs.encode(text).ids, f"{len(ids)} tokens of {len(text)} characters")


def trained(peers):
    where = peers.scratch / "bpe"
    peers.knlp("data", "train-bpe", "--text", peers.text(), "--vocab", VOCAB, "--out", where)
    compare(peers, "trained BPE", where, ByteLevelBPETokenizer(str(where / "vocab.json"), str(where / "merges.txt")))


def byte_letters():
    """The printable letter of each byte, as GPT-2's vocab.json spells it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for index, byte in enumerate(b for b in range(256) if b not in letters):
        letters[byte] = chr(256 + index)
    return letters


def merge_of(token, ranks):
    """The two parts whose merge made `token`: what merging below its rank leaves."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(ranks)))
        parts[best:best + 2] = [parts[best] + parts[best + 1]]
    return parts


def gpt2(peers):
    source = peers.data / "gpt2.tiktoken" if peers.data else None
    if source is None or not source.exists():
        return peers.skip("GPT-2 BPE", "KNLP_TEST_DATA has no gpt2.tiktoken")
    ranks = {base64.b64decode(token): int(rank)
             for token, rank in (line.split() for line in source.read_text().splitlines())}
    letters = byte_letters()
    spell = lambda token: "".join(letters[b] for b in token)
    where = peers.directory("gpt2-vocabulary")
    vocab = {spell(token): rank for token, rank in ranks.items()} | {"<|endoftext|>": 50256}
    merges = [" ".join(map(spell, merge_of(token, ranks))) for token in sorted(ranks, key=ranks.get) if len(token) > 1]
    (where / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (where / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    theirs = ByteLevelBPETokenizer(str(where / "vocab.json"), str(where / "merges.txt"))
    compare(peers, "GPT-2 from vocab.json and merges.txt", where, theirs)
    compare(peers, "GPT-2 from its rank file", source, theirs)


def export(peers):
    """The tokenizer beside an exported model is the one transformers opens."""
    from transformers import GPT2Tokenizer

    data, run, out = peers.scratch / "bpe-dataset", peers.scratch / "run-bpe", peers.scratch / "export-bpe"
    peers.knlp("data", "prepare", "--tokenizer", "bpe", "--tokenizer-files", peers.scratch / "bpe", "--text", peers.text(),
               "--out", data)
    peers.train(run, data, "GPT2_MAX_ITERS=2", "GPT2_EVAL_INTERVAL=2", f"GPT2_BPE_VOCAB={VOCAB}", tokenizer="BPE_TRAINED")
    peers.knlp("convert", "--to", "hf", "--model", run, "--out", out)
    theirs = GPT2Tokenizer.from_pretrained(str(out))
    text = peers.text().read_text(encoding="utf-8")[:5000]
    source = peers.scratch / "encode.txt"
    source.write_text(text, encoding="utf-8")
    ids = encode(peers, out, source)
    peers.equal("tokenizer of an export in transformers", ids, theirs(text)["input_ids"], f"{len(ids)} tokens")


CHECKS = [trained, gpt2, export]
