#!/usr/bin/env python3
"""GPT-2 in plain PyTorch, independent of knlp: what knlp's forward, loss and gradients are checked with.

    gpt2_reference.py golden > tests/golden/gpt2_small.json
    gpt2_reference.py logits MODEL_DIR IDS.json OUT.safetensors

`golden` writes logits, loss and gradients of small models whose weights follow a formula that both sides
compute. `logits` runs weights in Hugging Face layout (config.json and model.safetensors) on the token ids
in a JSON list. Importable: GPT, Config, load_hugging_face.
"""
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    n_layer: int = 12
    n_head: int = 12
    d_model: int = 768
    n_ctx: int = 1024
    vocab_size: int = 50257
    dropout: float = 0.0
    bias: bool = True
    tied: bool = True
    gelu: str = "tanh"
    epsilon: float = 1e-5


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.n_head, self.dropout = c.n_head, c.dropout
        self.c_attn = nn.Linear(c.d_model, 3 * c.d_model, bias=c.bias)
        self.c_proj = nn.Linear(c.d_model, c.d_model, bias=c.bias)
        self.resid = nn.Dropout(c.dropout)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        return self.resid(self.c_proj(y.transpose(1, 2).reshape(batch, length, width)))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.form = "tanh" if c.gelu == "tanh" else "none"
        self.c_fc = nn.Linear(c.d_model, 4 * c.d_model, bias=c.bias)
        self.c_proj = nn.Linear(4 * c.d_model, c.d_model, bias=c.bias)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x):
        return self.drop(self.c_proj(F.gelu(self.c_fc(x), approximate=self.form)))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1 = nn.LayerNorm(c.d_model, eps=c.epsilon, bias=c.bias)
        self.attn = Attention(c)
        self.ln_2 = nn.LayerNorm(c.d_model, eps=c.epsilon, bias=c.bias)
        self.mlp = Mlp(c)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.wte = nn.Embedding(c.vocab_size, c.d_model)
        self.wpe = nn.Embedding(c.n_ctx, c.d_model)
        self.drop = nn.Dropout(c.dropout)
        self.h = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.ln_f = nn.LayerNorm(c.d_model, eps=c.epsilon, bias=c.bias)
        self.lm_head = nn.Linear(c.d_model, c.vocab_size, bias=False)
        if c.tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, ids, targets=None):
        positions = torch.arange(ids.size(1), device=ids.device)
        x = self.drop(self.wte(ids) + self.wpe(positions))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss


def is_conv1d(name):
    """Matrices that Hugging Face files hold transposed."""
    return name.endswith(("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"))


def load_hugging_face(directory):
    """GPT with the weights of config.json and model.safetensors."""
    from safetensors.torch import load_file

    directory = Path(directory)
    values = json.loads((directory / "config.json").read_text())
    model = GPT(Config(
        n_layer=values["n_layer"], n_head=values["n_head"], d_model=values["n_embd"],
        n_ctx=values["n_positions"], vocab_size=values["vocab_size"],
        tied=values.get("tie_word_embeddings", True),
        gelu="tanh" if values["activation_function"] == "gelu_new" else "erf",
        epsilon=values.get("layer_norm_epsilon", 1e-5)))
    tensors = {name.removeprefix("transformer."): t.float()
               for name, t in load_file(directory / "model.safetensors").items()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = tensors[name]
            parameter.copy_(value.t() if is_conv1d(name) else value)
    return model.eval()


# --- golden values

def formula(index, shape, is_norm_weight):
    """Value i of parameter number `index`, [out, in] order: 0.2 sin(0.731 i + 0.0113 i^2 + 1.7 index)."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    value = 0.2 * torch.sin(0.731 * i + 0.0113 * i * i + 1.7 * index)
    # Through float32, so that a float32 model starts from exactly the same numbers.
    return (value + (1.0 if is_norm_weight else 0.0)).float().double().view(shape)


def file_order(c):
    names = ["wte.weight", "wpe.weight"]
    suffixes = ["weight", "bias"] if c.bias else ["weight"]
    for layer in range(c.n_layer):
        for part in ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]:
            names += [f"h.{layer}.{part}.{suffix}" for suffix in suffixes]
    names += [f"ln_f.{suffix}" for suffix in suffixes]
    return names if c.tied else names + ["lm_head.weight"]


def sequence(count, modulus, salt):
    n = torch.arange(count) + salt
    return (7 * n * n + 3 * n + 5) % modulus


def golden_case(c):
    model = GPT(c).double()
    parameters = dict(model.named_parameters())
    names = file_order(c)
    assert set(names) == set(parameters), set(names) ^ set(parameters)
    with torch.no_grad():
        for index, name in enumerate(names):
            is_norm_weight = "ln_" in name and name.endswith(".weight")
            parameters[name].copy_(formula(index, parameters[name].shape, is_norm_weight))
    ids = sequence(2 * c.n_ctx, c.vocab_size, 0).view(2, c.n_ctx)
    targets = sequence(2 * c.n_ctx, c.vocab_size, 5).view(2, c.n_ctx).clone()
    targets[0, 3] = targets[1, 0] = targets[1, 7] = -1
    logits, loss = model(ids, targets)
    loss.backward()
    gradients = {}
    for name in names:
        g = parameters[name].grad.flatten()
        at = [0, g.numel() // 3, g.numel() // 2, g.numel() - 1]
        gradients[name] = {"norm": g.norm().item(), "at": at, "values": [g[i].item() for i in at]}
    return {
        "config": {"n_layer": c.n_layer, "n_head": c.n_head, "d_model": c.d_model, "n_ctx": c.n_ctx,
                   "vocab_size": c.vocab_size, "bias": c.bias, "weight_tying": c.tied, "gelu": c.gelu},
        "loss": loss.item(),
        "logits_last": [logits[b, -1].tolist() for b in range(2)],
        "logits_sum": logits.sum().item(),
        "logits_norm": logits.norm().item(),
        "gradients": gradients,
    }


def golden():
    shape = dict(n_layer=2, n_head=4, d_model=32, n_ctx=16, vocab_size=61)
    cases = [Config(**shape), Config(**shape, gelu="erf", bias=False), Config(**shape, tied=False)]
    print(json.dumps({
        "source": f"scripts/peers/gpt2_reference.py golden, PyTorch {torch.__version__.split('+')[0]}, float64",
        "cases": [golden_case(c) for c in cases]}, indent=1))


def logits(model_dir, ids_file, out_file):
    from safetensors.torch import save_file

    ids = torch.tensor(json.loads(Path(ids_file).read_text()))[None]
    with torch.no_grad():
        values, _ = load_hugging_face(model_dir)(ids)
    save_file({"logits": values[0].contiguous()}, out_file)


if __name__ == "__main__":
    commands = {"golden": (golden, 0), "logits": (logits, 3)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or len(sys.argv) - 2 != commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    commands[sys.argv[1]][0](*sys.argv[2:])
