#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets below tests/fuzz/corpus; findings are added there by hand."""
import base64
import gzip
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def byte_names():
    """GPT-2's printable stand-in of each byte."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {}, 0
    for byte in range(256):
        names[byte] = chr(byte) if byte in keep else chr(256 + extra)
        extra += byte not in keep
    return names


def main():
    put("safetensors", "seed-two", safetensors(
        {"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 3], 0, 24), "b": entry("BF16", [4], 24, 32)}, bytes(32)))
    put("safetensors", "seed-empty", safetensors({}))
    put("safetensors", "seed-zero-size", safetensors({"a": entry("I64", [0, 7], 0, 0), "s": entry("U8", [], 0, 1)}, b"x"))
    put("safetensors", "case-overflow", safetensors({"a": entry("F32", [1 << 32, 1 << 32], 0, 4)}, bytes(4)))
    put("safetensors", "case-nested", safetensors(b'{"a":' + b"[" * 5000))

    put("json", "seed-object", '{"a": [1, -2.5e3, true, null, "x\\u00fc\\n"], "b": {"c": {}}}')
    put("json", "seed-numbers", "[0, -0.0, 1e308, 5e-324, 18446744073709551615, -9223372036854775808]")
    put("json", "case-deep", "[" * 5000)
    put("json", "case-huge-number", "[1e999]")

    put("metrics", "seed-events", '{"event":"train","loss":2.5,"step":1}\n{"event":"eval","val_loss":"nan","step":1}\n')
    put("metrics", "case-cut", '{"event":"train","step":1}\n{"eve')

    put("gzip", "seed-text", gzip.compress(b"hello hello hello", mtime=0))
    put("gzip", "seed-members", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0) + bytes(8))
    put("gzip", "case-bomb", gzip.compress(bytes(6 << 20), mtime=0))

    put("tokenfile", "seed-plain16", b"\x00" + struct.pack("<8H", *range(8)))
    put("tokenfile", "seed-plain32", b"\x01" + struct.pack("<8I", *range(8)))
    put("tokenfile", "seed-llmc", b"\x00" + struct.pack("<256i", 20240520, 1, 4, *[0] * 253) + struct.pack("<4H", 1, 2, 3, 4))
    put("tokenfile", "case-llmc-count", b"\x00" + struct.pack("<256i", 20240520, 1, -1, *[0] * 253) + bytes(8))
    put("tokenfile", "case-odd", b"\x00abc")

    names = byte_names()
    vocab = {names[b]: b for b in range(256)}
    vocab |= {"th": 256, "the": 257, "<|endoftext|>": 258}
    merges = "#version: 0.2\nt h\nth e\n"
    put("tokenizer", "seed-gpt2", b"d" + json.dumps(vocab).encode() + b"\0" + merges.encode())
    ranks = b"".join(base64.b64encode(bytes([b])) + b" %d\n" % b for b in range(256))
    put("tokenizer", "seed-ranks", b"r" + ranks + base64.b64encode(b"th") + b" 256\n")
    put("tokenizer", "seed-byte", b'j{"type":"byte"}')
    # A name with a line break in it must not break the one line of an error.
    put("tokenizer", "case-newline", b"d" + json.dumps({"a\nb": 0, "c": 0}).encode() + b"\0\n")
    put("tokenizer", "case-newline-type", b'j{"type":"by\\nte"}')
    put("tokenizer", "case-merges", b"d" + json.dumps(vocab).encode() + b"\0x y z\n\n q")

    put("dotconfig", "seed-empty", "")
    put("dotconfig", "seed-values", 'CONFIG_SEED=7\nCONFIG_DEVICE="cpu"\n# CONFIG_DETERMINISTIC is not set\n# remark\n')
    put("dotconfig", "case-syntax", 'CONFIG_SEED = 7 # odd\nCONFIG_DEVICE="c\\pu\nCONFIG_\n=\n')

    elf = struct.pack("<4sBBBBB7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    put("elf", "seed-header", elf)
    put("elf", "seed-dynamic", elf + struct.pack("<IIQQQQQQ", 2, 4, 120, 120, 120, 32, 32, 8) + struct.pack("<QQQQ", 1, 1, 0, 0))
    put("elf", "case-text", "not an ELF file")


if __name__ == "__main__":
    main()
