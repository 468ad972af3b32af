"""What the clients' own readers find, and what metrics.jsonl wants to be found, in one form.

Wanted is worked out here a second time, so that a wrong name or formula in track/names.py is seen."""

import json
import math
import struct
from pathlib import Path

# event, field, names of the figure and of its perplexity, what it is divided by
FIELDS = (
    ("train", "loss", "train_loss", "train_perplexity", 1), ("train", "lr", "learning_rate", None, 1),
    ("train", "grad_norm", "grad_norm", None, 1), ("train", "tokens_per_s", "tokens_per_s", None, 1),
    ("train", "mfu", "mfu", None, 1), ("train", "rss_bytes", "sys/rss_gb", None, 1e9),
    ("eval", "val_loss", "val_loss", "val_perplexity", 1),
    ("final", "val_loss", "final_val_loss", "final_val_perplexity", 1),
    ("final", "best_val_loss", "best_val_loss", "best_val_perplexity", 1))


def wanted(run):
    """[(step, {name: float})], a row for each line of metrics.jsonl that has figures."""
    n_ctx = json.loads((run / "manifest.json").read_text())["batch"]["n_ctx"]
    rows = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        event, row = json.loads(line), {}
        for kind, field, name, as_perplexity, unit in FIELDS:
            if event["event"] != kind or event.get(field) is None:
                continue
            row[name] = float(event[field]) / unit
            if as_perplexity:
                row[as_perplexity] = math.exp(min(float(event[field]), 20))
        if event["event"] == "final" and event["cache_bytes_per_token"]:
            row[f"kv_cache/seq{n_ctx}_mb"] = event["cache_bytes_per_token"] * n_ctx / 1e6
        if row:
            rows.append((event["step"], row))
    return rows


def merged(rows):
    """{step: {name: float}}"""
    steps = {}
    for step, row in rows:
        steps.setdefault(step, {}).update(row)
    return steps


def trackio_rows(project, run_id):
    """[(step, {name: float})] of a run, doubled rows included, and the run's configuration."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    [run] = [run for run in trackio.Api().runs(project) if run.id == run_id]
    rows = []
    for log in SQLiteStorage.get_logs(project, run.name, run_id=run_id):
        step = log.pop("step")
        log.pop("timestamp")
        rows.append((step, log))
    return rows, run.config


def wandb_rows(run, run_id):
    """[(step, {name: float})] of the one offline run, its run record and its exit status (None = no end)."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    [path] = (run / "wandb").glob(f"offline-run-*-{run_id[:8]}/run-{run_id[:8]}.wandb")
    store, rows, about, status = DataStore(), [], None, None
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = {item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
                   for item in record.history.item}
            rows.append((row.pop("step"), {k: float(v) for k, v in row.items() if not k.startswith("_")}))
        elif kind == "run":
            about = record.run
        elif kind == "exit":
            status = record.exit.exit_code
    return rows, about, status


def tensorboard_steps(run):
    """{step: {name: float}} as TensorBoard shows it: what a resume took again counts once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader, steps = EventAccumulator(str(run), size_guidance={"scalars": 0}), {}
    reader.Reload()
    for tag in reader.Tags()["scalars"]:
        for scalar in reader.Scalars(tag):
            steps.setdefault(scalar.step, {})[tag] = scalar.value
    return steps


def as_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def same(one, two):
    return one == two or math.isnan(one) and math.isnan(two)


def differences(found, steps, convert=float):
    """Lines that say where two {step: {name: float}} differ; none when they are equal."""
    out = []
    for step in sorted(found.keys() | steps.keys()):
        here, there = found.get(step, {}), steps.get(step, {})
        for name in sorted(here.keys() | there.keys()):
            if name not in here or name not in there:
                out.append(f"step {step} {name}: {'not found' if name in there else 'found, not in metrics.jsonl'}")
            elif not same(here[name], convert(there[name])):
                out.append(f"step {step} {name}: {here[name]!r}, metrics.jsonl has {there[name]!r}")
    return out


def memory(run, client):
    return json.loads((Path(run) / "mirror.json").read_text())["clients"][client]
