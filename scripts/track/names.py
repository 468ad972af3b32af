"""What a run is called in a tracker, and which figures of an event go there under which names.

The names are those of the TensorBoard events that knlp writes itself (src/train/record.cpp)."""

import hashlib
import math
import os
from pathlib import Path

from track import run_files

TREE = Path(__file__).resolve().parents[2]
# Of the manifest, beside the symbols, in the configuration that a tracker shows.
FACTS = ("model", "optimizer", "preset", "git_commit", "git_dirty", "device", "precision", "threads")


def number(value):
    """A figure of metrics.jsonl as float: JSON has no NaN, so they are texts there. None of others."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None


def perplexity(loss):
    return math.exp(min(loss, 20.0))


def figures(event, n_ctx=None):
    """{name: float} of one event; empty for events without figures.

    n_ctx: context length of the run in tokens, for the size of its cache."""
    kind, found = event.get("event"), {}

    def put(name, field, scale=1.0, as_perplexity=None):
        value = number(event.get(field))
        if value is None:
            return
        found[name] = value * scale
        if as_perplexity:
            found[as_perplexity] = perplexity(value)

    if kind == "train":
        put("train_loss", "loss", as_perplexity="train_perplexity")
        put("learning_rate", "lr")
        put("rss", "rss_bytes")
        if "rss" in found:
            found["sys/rss_gb"] = found.pop("rss") / 1e9
        for name in ("grad_norm", "tokens_per_s", "mfu", "sparsity"):
            put(name, name)
    elif kind == "eval":
        put("val_loss", "val_loss", as_perplexity="val_perplexity")
    elif kind == "final":
        put("final_val_loss", "val_loss", as_perplexity="final_val_perplexity")
        put("best_val_loss", "best_val_loss", as_perplexity="best_val_perplexity")
        per_token = number(event.get("cache_bytes_per_token"))
        if per_token and n_ctx:
            found[f"kv_cache/seq{n_ctx}_mb"] = per_token * n_ctx / 1e6
    return found


def row(event, n_ctx=None):
    """(step, time, figures) of an event; None when it has no step or no time, as none of ours has."""
    step, time = event.get("step"), event.get("t")
    if isinstance(step, bool) or not isinstance(step, int) or run_files.seconds_of(time) is None:
        return None
    return step, time, figures(event, n_ctx)


def machine_id():
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text().strip()
        except OSError:
            continue
    return os.uname().nodename


def tree_mark():
    """Five hexadecimal digits that tell trees and machines apart, and stay when addresses change."""
    return hashlib.sha256(f"{machine_id()}\n{TREE}".encode()).hexdigest()[:5]


class Names:
    """project, run, group (of a matrix, else None), entity (W&B's, else None), id (32 hexadecimal digits), started.

    The id is made from what stays when a run is resumed or mirrored anew, so that a mirror that forgot
    everything still finds what it wrote."""

    KEPT = ("project", "run", "group", "entity", "id", "started")

    def __init__(self, run, client):
        symbols, manifest = run_files.settings(run), run_files.read_json(run / "manifest.json")
        model = manifest.get("model") or "run"
        self.started = manifest.get("started") or ""
        self.project = symbols.get("TRACKER_PROJECT") or f"{model}-{tree_mark()}"
        self.entity = None
        if client == "wandb":
            self.project = symbols.get("WANDB_PROJECT") or self.project
            self.entity = symbols.get("WANDB_ENTITY") or None
        name = symbols.get("TRACKER_RUN_NAME") or run.name
        matrix = matrix_of(run)
        self.group = matrix.name if matrix else None
        if matrix:
            # A cell that is tried again is the same run; its configuration names no cell.
            given = symbols.get("TRACKER_RUN_NAME") or matrix.name
            name = f"{given}/{run.name}"
            mark = hashlib.sha256((matrix / "plan.json").read_bytes()).hexdigest()
        else:
            mark = self.started
        self.run = name
        whole = "\n".join((client, self.project, str(self.entity), name, mark))
        self.id = hashlib.sha256(whole.encode()).hexdigest()[:32]

    def keep(self, memory, run):
        """Names of an earlier mirror of this directory stay, as the run is there under them. A copy of a
        directory is another run."""
        inode = run.stat().st_ino
        if memory.get("inode") == inode and all(key in memory for key in self.KEPT):
            self.__dict__.update({key: memory[key] for key in self.KEPT})
            return
        memory.clear()
        memory.update({key: getattr(self, key) for key in self.KEPT}, inode=inode)


def matrix_of(run):
    """Directory of the matrix whose cell this is, or None."""
    above = run.resolve().parent
    return above.parent if above.name == "cells" and (above.parent / "plan.json").exists() else None


def configuration(run):
    """Symbols and a few facts of the manifest, flat, for a tracker's table of runs."""
    manifest = run_files.read_json(run / "manifest.json")
    values = dict(run_files.settings(run))
    values.update({name: manifest[name] for name in FACTS if manifest.get(name) is not None})
    for name, group, key in (("parameters", "parameters", "total"), ("data", "data", "name")):
        part = manifest.get(group)
        if isinstance(part, dict) and part.get(key) is not None:
            values[name] = part[key]
    return values


def context_length(run):
    batch = run_files.read_json(run / "manifest.json").get("batch")
    return batch.get("n_ctx") if isinstance(batch, dict) else None
