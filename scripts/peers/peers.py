"""What the comparisons of `make check-peers` share: running knlp, telling results, random models."""
import json
import os
import subprocess
import time
import traceback
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"               # nothing here may reach for the network

import torch
import transformers
from safetensors.torch import load_file

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


class Peers:
    """Counts comparisons and prints a line for each."""

    def __init__(self, knlp, config, scratch, data, threads):
        self.knlp_binary, self.config, self.scratch, self.data = knlp, config, Path(scratch), data
        self.threads = threads
        torch.set_num_threads(threads)
        self.passed = self.failed = self.skipped = 0

    def tell(self, ok, name, figures):
        self.passed += ok
        self.failed += not ok
        print(f"  {'PASS' if ok else 'FAIL'}    {name:<44} {figures}", flush=True)

    def within(self, name, value, limit, what="max |difference|"):
        self.tell(value <= limit, name, f"{what} {value:.3g} (limit {limit:g})")

    def equal(self, name, ours, theirs, what):
        if ours == theirs:
            return self.tell(True, name, what)
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        self.tell(False, name, f"{what}: first difference at {at}: {list(ours[at:at + 5])} here, "
                               f"{list(theirs[at:at + 5])} there")

    def skip(self, name, reason):
        self.skipped += 1
        print(f"  SKIP    {name:<44} {reason}", flush=True)

    def note(self, name, figures):
        print(f"  FIGURE  {name:<44} {figures}", flush=True)

    def run(self, check):
        """A comparison that breaks has failed."""
        try:
            check(self)
        except Exception as error:
            traceback.print_exc()
            self.tell(False, check.__module__.removeprefix("check_") + "." + check.__name__,
                      f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")

    def directory(self, name):
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def knlp(self, *arguments, stdin=None):
        """Output of knlp; raises with its message when it fails."""
        done = subprocess.run([self.knlp_binary, *map(str, arguments)], input=stdin, text=True,
                              capture_output=True, cwd=self.scratch)
        if done.returncode != 0:
            raise RuntimeError(f"knlp {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
        return done.stdout

    def logits(self, model, ids):
        """Our logits [T, V] of a model directory."""
        name = f"logits-{time.monotonic_ns()}"
        (self.scratch / f"{name}.json").write_text(json.dumps(ids))
        out = self.scratch / f"{name}.safetensors"
        self.knlp("eval", "--task", "logits", "--threads", self.threads, "--model", model, "--ids", f"{name}.json", "--out", out)
        return load_file(out)["logits"]

    def train(self, out, dataset, *sets, init_from=None, tokenizer="BYTE"):
        """A short run of the nano preset on a prepared dataset; returns its metrics."""
        symbols = [f"GPT2_TOKENIZER_{tokenizer}=y", "GPT2_DATASET_CUSTOM=y", f"GPT2_CUSTOM_DATASET_PATH={dataset}",
                   "GPT2_GENERATION_MAX_TOKENS=0", f"NUM_THREADS={self.threads}", *sets]
        arguments = [part for symbol in symbols for part in ("--set", symbol)]
        if init_from:
            arguments += ["--init-from", init_from]
        self.knlp("train", "--config", self.config, "--out", out, "--quiet", *arguments)
        return [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]

    def dataset(self, name="dataset"):
        """Byte tokens of the project's own documentation, prepared once."""
        path = self.scratch / name
        if not path.exists():
            self.knlp("data", "prepare", "--tokenizer", "byte", "--text", self.text(), "--out", path)
        return path

    def text(self):
        """English of a few hundred kilobytes, at hand wherever the sources are."""
        path = self.scratch / "text.txt"
        if not path.exists():
            root = Path(__file__).resolve().parents[2]
            files = sorted(p for pattern in ("*.md", "docs/*.md", "src/**/*.cpp", "include/**/*.h", "scripts/**/*.py")
                           for p in root.glob(pattern))
            path.write_text("\n".join(p.read_text(errors="replace") for p in files), encoding="utf-8")
        return path


def random_gpt2(seed, spread=0.3, **sizes):
    """A transformers GPT-2 whose every weight is drawn with this standard deviation."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_layer": 3, "n_head": 4, "n_embd": 64, "n_positions": 96, "vocab_size": 257, **sizes}
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=sizes["vocab_size"] - 1,
                                       eos_token_id=sizes["vocab_size"] - 1, **sizes)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator) * spread
            parameter.copy_(values + 1 if ".ln_" in name and name.endswith("weight") else values)
    return model


def random_ids(seed, count, vocab_size):
    return torch.randint(vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def open_gpt2(directory):
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(directory, dtype=torch.float32).eval()
