"""Weights and logits: transformers' models in ours, ours in theirs, and the plain PyTorch script."""
import json
import subprocess
import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file

from gpt2_reference import is_conv1d
from llmc_reader import read_llmc
from peers import open_gpt2, random_gpt2, random_ids, their_logits

LIMIT = 1e-4


def difference(ours, theirs):
    return (ours - theirs).abs().max().item()


def theirs_in_ours(peers):
    """Random weights of large spread, in every type and layout that transformers writes."""
    ids = random_ids(1, 96, 257)
    for kind, dtype in (("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16)):
        for shards in (False, True):
            where = peers.directory(f"theirs-{kind}-{'sharded' if shards else 'single'}")
            random_gpt2(11).to(dtype).save_pretrained(where, max_shard_size="100KB" if shards else "1GB")
            found = len(list(where.glob("*.safetensors")))
            if (found > 1) != shards:
                raise RuntimeError(f"transformers wrote {found} files")
            # Both sides read the file's values and compute in fp32.
            theirs = their_logits(open_gpt2(where), ids)
            peers.within(f"transformers {kind} {'in ' + str(found) + ' shards' if shards else 'single'} in knlp",
                         difference(peers.logits(where, ids), theirs), LIMIT,
                         f"std 0.3, logits to {theirs.abs().max():.0f}: max |difference|")


def erf_gelu(peers):
    where = peers.directory("theirs-erf")
    random_gpt2(12, activation_function="gelu").save_pretrained(where)
    ids = random_ids(2, 96, 257)
    peers.within("transformers with erf GELU in knlp",
                 difference(peers.logits(where, ids), their_logits(open_gpt2(where), ids)), LIMIT)


def names_without_prefix(peers):
    """The layout of the files OpenAI's weights are published in: no prefix, mask buffers kept."""
    where = peers.directory("theirs-plain-names")
    model = random_gpt2(13)
    model.config.save_pretrained(where)
    tensors = {name.removeprefix("transformer."): value.contiguous()
               for name, value in model.state_dict().items() if name != "lm_head.weight"}
    for layer in range(model.config.n_layer):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(1, 1, 96, 96))
    save_file(tensors, where / "model.safetensors", {"format": "pt"})
    ids = random_ids(3, 50, 257)
    peers.within("names without prefix, with mask buffers",
                 difference(peers.logits(where, ids), their_logits(model, ids)), LIMIT)


def ours_in_theirs(peers):
    """A model that knlp trained, exported and opened by transformers."""
    run, out = peers.scratch / "run-export", peers.scratch / "export"
    peers.train(run, peers.dataset(), "GPT2_MAX_ITERS=20", "GPT2_EVAL_INTERVAL=20")
    peers.knlp("convert", "--to", "hf", "--model", run, "--out", out)
    model = open_gpt2(out)
    ids = random_ids(4, 128, 257)
    theirs = their_logits(model, ids)
    peers.within("knlp export in transformers", difference(peers.logits(run, ids), theirs), LIMIT)
    peers.within("knlp run and its export in knlp", difference(peers.logits(run, ids), peers.logits(out, ids)), 0)


def ours_in_the_plain_script(peers):
    out = peers.scratch / "export"
    ids = random_ids(5, 128, 257)
    (peers.scratch / "ids.json").write_text(json.dumps(ids))
    result = peers.scratch / "reference.safetensors"
    script = Path(__file__).with_name("gpt2_reference.py")
    for name, where in (("knlp export", out), ("std 0.3", peers.scratch / "theirs-F32-single")):
        part = ids[:96] if name == "std 0.3" else ids
        (peers.scratch / "ids.json").write_text(json.dumps(part))
        subprocess.run([sys.executable, script, "logits", where, peers.scratch / "ids.json", result], check=True)
        peers.within(f"plain PyTorch script, {name}",
                     difference(peers.logits(where, part), load_file(result)["logits"]), LIMIT)


def import_export_import(peers):
    """Every tensor that transformers wrote comes back from our export with the same bytes."""
    theirs = peers.scratch / "theirs-F32-single"
    out = peers.scratch / "exported-again"
    peers.knlp("convert", "--to", "hf", "--model", theirs, "--out", out)
    ours, original = load_file(out / "model.safetensors"), load_file(theirs / "model.safetensors")
    original.pop("lm_head.weight", None)             # tied; transformers writes it or not
    peers.equal("import and export keep every tensor name", sorted(ours), sorted(original), f"{len(ours)} tensors")
    different = [name for name in original if not torch.equal(ours[name], original[name])]
    peers.equal("import and export keep every byte", different, [], f"{len(original)} tensors")
    ids = random_ids(6, 96, 257)
    peers.within("the export opened by transformers",
                 difference(their_logits(open_gpt2(out), ids), their_logits(open_gpt2(theirs), ids)), 0)


def llmc(peers):
    """Every number of an export for llm.c is the one that transformers wrote, in the place llm.c looks for it."""
    theirs, out = peers.scratch / "theirs-F32-single", peers.scratch / "llmc.bin"
    peers.knlp("convert", "--to", "llmc", "--model", theirs, "--out", out)
    sizes, ours = read_llmc(out)
    original = {name.removeprefix("transformer."): value.numpy() for name, value in
                load_file(theirs / "model.safetensors").items() if name != "lm_head.weight"}
    peers.equal("llm.c export: sizes", sizes, {"n_ctx": 96, "vocab_size": 257, "n_layer": 3, "n_head": 4, "d_model": 64,
                                               "padded_vocab": 384}, "header")
    padding = ours.pop("padding")
    peers.equal("llm.c export: tensors", sorted(ours), sorted(original), f"{len(ours)} tensors")
    different = [name for name, value in original.items()
                 if not numpy.array_equal(ours[name], value.T if is_conv1d(name) else value)]
    peers.equal("llm.c export: values", different, [], f"{len(original)} tensors")
    peers.tell(padding.shape == (127, 64) and not padding.any(), "llm.c export: padding rows", f"{len(padding)} of zeros")


def real_size(peers):
    """124M with random weights: the size people will load."""
    where = peers.directory("theirs-124M")
    random_gpt2(14, spread=0.02, n_layer=12, n_head=12, n_embd=768, n_positions=1024,
                vocab_size=50257).save_pretrained(where)
    ids = random_ids(7, 200, 50257)
    peers.within("transformers 124M in knlp", difference(peers.logits(where, ids), their_logits(open_gpt2(where), ids)),
                 LIMIT)


CHECKS = [theirs_in_ours, erf_gelu, names_without_prefix, ours_in_theirs, ours_in_the_plain_script,
          import_export_import, llmc, real_size]
