#!/usr/bin/env python3
"""Loss and gradients of a GPT-2 in plain PyTorch, for comparison with knlp's.

    gradients.py MODEL_DIR BATCH.json OUT.safetensors

MODEL_DIR is in Hugging Face layout; BATCH.json holds "ids" and "targets", lists of rows, targets -1 where
nothing is predicted. Writes `loss` and the gradient of every parameter, linear weights [out, in].
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from gpt2_reference import load_hugging_face


def main():
    model_dir, batch_file, out_file = sys.argv[1:]
    batch = json.loads(Path(batch_file).read_text())
    model = load_hugging_face(model_dir)
    _, loss = model(torch.tensor(batch["ids"]), torch.tensor(batch["targets"]))
    loss.backward()
    tensors = {name: p.grad.contiguous() for name, p in model.named_parameters()}
    save_file({"loss": loss.detach().reshape(1), **tensors}, out_file)


if __name__ == "__main__":
    main()
