#!/usr/bin/env python3
"""Training in eager PyTorch as nanoGPT does it: the peer of `knlp train` on the nano preset.

    nano_step.py MODEL_DIR TRAIN.bin OUT.json --steps N --seed S [--threads N] [--batch B] …

Starts from the weights of MODEL_DIR (Hugging Face layout), reads uint16 tokens, and draws the windows that
knlp draws, from an implementation of its counter-based stream of its own (Philox4x32-10 keyed by XXH3 of
the stream's name and SplitMix64 of the seed). Writes {"losses", "grad_norms", "step_s"}: step_s without
the first ten steps.
"""
import argparse
import json
import math
import time

import numpy
import torch

from gpt2_reference import load_hugging_face

MASK = (1 << 64) - 1


def xxh3_9_to_16(text):
    """XXH3-64 with seed 0 of 9 to 16 bytes (the specification's XXH3_len_9to16_64b)."""
    assert 9 <= len(text) <= 16
    flip_low, flip_high = 0x6782737bea4239b9, 0xaf56bc3b0996523a
    low = int.from_bytes(text[:8], "little") ^ flip_low
    high = int.from_bytes(text[-8:], "little") ^ flip_high
    product = low * high
    total = len(text) + int.from_bytes(low.to_bytes(8, "big"), "little") + high + (product & MASK ^ product >> 64)
    value = total & MASK
    value ^= value >> 37
    value = value * 0x165667919E3779F9 & MASK
    return value ^ value >> 32


def splitmix(seed):
    x = seed + 0x9e3779b97f4a7c15 & MASK
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK
    return x ^ x >> 31


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [k[0] + 0x9E3779B9 & 0xFFFFFFFF, k[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def window_start(seed, batch, row, n_tokens, n_ctx):
    key = xxh3_9_to_16(b"data/train") ^ splitmix(seed)
    words = philox([batch & 0xFFFFFFFF, batch >> 32, row & 0xFFFFFFFF, row >> 32], [key & 0xFFFFFFFF, key >> 32])
    return (words[0] | words[1] << 32) % (n_tokens - n_ctx)


def learning_rate(step, a):
    if step < a.warmup:
        return a.lr * (step + 1) / a.warmup
    share = min(1.0, (step - a.warmup) / (a.schedule_steps - a.warmup))
    return a.min_lr + 0.5 * (a.lr - a.min_lr) * (1 + math.cos(math.pi * share))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model"), parser.add_argument("tokens"), parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=50), parser.add_argument("--schedule-steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1), parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16), parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3), parser.add_argument("--min-lr", type=float, default=1e-4)
    parser.add_argument("--weight-decay", type=float, default=0.1), parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--beta2", type=float, default=0.99)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    model = load_hugging_face(a.model).train()
    n_ctx = model.config.n_ctx
    embeddings = {id(model.wte.weight), id(model.wpe.weight)}
    decayed = [p for p in model.parameters() if p.dim() == 2 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.dim() < 2 or id(p) in embeddings]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": a.weight_decay},
                                   {"params": others, "weight_decay": 0.0}],
                                  lr=a.lr, betas=(0.9, a.beta2), eps=1e-8)
    tokens = torch.from_numpy(numpy.fromfile(a.tokens, dtype=numpy.uint16).astype(numpy.int64))
    result = {"losses": [], "grad_norms": []}
    times = []
    for step in range(a.steps):
        started = time.perf_counter()
        starts = [window_start(a.seed, step, row, len(tokens), n_ctx) for row in range(a.batch)]
        ids = torch.stack([tokens[s:s + n_ctx] for s in starts])
        targets = torch.stack([tokens[s + 1:s + n_ctx + 1] for s in starts])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, a)
        _, loss = model(ids, targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), a.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        result["losses"].append(loss.item())
        result["grad_norms"].append(norm.item())
        times.append(time.perf_counter() - started)
    result["step_s"] = times[10:]
    with open(a.out, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
