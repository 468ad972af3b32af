#!/usr/bin/env python3
"""Training steps of a GPT-2 in PyTorch as nanoGPT takes them: the rival of `knlp bench serve`.

    torch_step.py MODEL_DIR TOKENS.bin --batch B --threads N [--compile] [--bf16] [--device cuda] …

Answers the same requests on standard input with the same JSON lines: "run N", "quit"; the first line says
"ready". Weights are those of MODEL_DIR (Hugging Face layout), windows those that knlp draws from the seed,
computed ahead of the step by nano_step.py's own implementation. Eager or torch.compile; fused AdamW,
scaled_dot_product_attention, tanh GELU, tied head, clipping at norm 1.
"""
import argparse
import json
import sys
import time
import warnings

import numpy
import torch

from gpt2_reference import load_hugging_face
from nano_step import window_start


def peak_resident_bytes():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


class Trainee:
    def __init__(self, a):
        torch.set_num_threads(a.threads)
        self.a, self.on_cuda = a, a.device != "cpu"
        self.plain = load_hugging_face(a.model).train().to(a.device)
        self.n_ctx = self.plain.config.n_ctx
        self.model = torch.compile(self.plain) if a.compile else self.plain
        embeddings = {id(self.plain.wte.weight), id(self.plain.wpe.weight)}
        decayed = [p for p in self.plain.parameters() if p.dim() == 2 and id(p) not in embeddings]
        others = [p for p in self.plain.parameters() if p.dim() < 2 or id(p) in embeddings]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": a.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=a.learning_rate, betas=(0.9, a.beta2), eps=1e-8, fused=True)
        self.tokens = numpy.memmap(a.tokens, dtype=numpy.uint16, mode="r")
        self.step = 0

    def run(self, steps):
        # Drawing windows in Python is slow and no part of what is compared.
        starts = [[window_start(self.a.seed, self.step + i, row, len(self.tokens), self.n_ctx)
                   for row in range(self.a.batch)] for i in range(steps)]
        losses, seconds = [], []
        for places in starts:
            begin = time.perf_counter()
            losses.append(self.take_step(places))
            seconds.append(time.perf_counter() - begin)
        return {"losses": losses, "step_s": seconds, "peak_rss_bytes": peak_resident_bytes()}

    def take_step(self, places):
        n = self.n_ctx
        ids = torch.stack([torch.from_numpy(self.tokens[s:s + n].astype(numpy.int64)) for s in places])
        targets = torch.stack([torch.from_numpy(self.tokens[s + 1:s + n + 1].astype(numpy.int64)) for s in places])
        if self.on_cuda:
            ids, targets = (t.pin_memory().to(self.a.device, non_blocking=True) for t in (ids, targets))
        with torch.autocast("cuda" if self.on_cuda else "cpu", torch.bfloat16, enabled=self.a.bf16):
            _, loss = self.model(ids, targets)
        loss.backward()
        if self.a.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.plain.parameters(), self.a.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model"), parser.add_argument("tokens")
    parser.add_argument("--batch", type=int, required=True), parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1), parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--beta2", type=float, default=0.95), parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--compile", action="store_true"), parser.add_argument("--bf16", action="store_true")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    trainee = Trainee(a)
    answer = lambda value: print(json.dumps(value), flush=True)
    answer({"ready": True, "torch": torch.__version__, "threads": torch.get_num_threads(), "device": a.device,
            "isa": torch.backends.cpu.get_cpu_capability()})
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if len(words) != 2 or words[0] != "run":
            sys.exit(f"'{line.strip()}' is no request: run N, quit")
        answer(trainee.run(int(words[1])))


if __name__ == "__main__":
    main()
