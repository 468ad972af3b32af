"""Files of a run read by other programs: TensorBoard events and safetensors."""
import json

import torch
from safetensors import safe_open


def tensorboard(peers):
    """Every scalar that TensorBoard's own reader finds is the one in metrics.jsonl, and none is missing."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = peers.scratch / "run-events"
    metrics = peers.train(run, peers.dataset(), "GPT2_MAX_ITERS=30", "GPT2_EVAL_INTERVAL=10", "GPT2_LOG_INTERVAL=5",
                          "CHECKPOINT_INTERVAL=10", "ENABLE_TENSORBOARD=y")
    events = sorted(run.rglob("events.out.tfevents.*"))
    peers.equal("TensorBoard event files", [len(events)], [1], "one in the run directory")
    reader = EventAccumulator(str(events[0].parent), size_guidance={"scalars": 0})
    reader.Reload()
    tags = reader.Tags()["scalars"]
    for tag, event, field in (("train_loss", "train", "loss"), ("learning_rate", "train", "lr"),
                              ("grad_norm", "train", "grad_norm"), ("val_loss", "eval", "val_loss")):
        wanted = {m["step"]: m[field] for m in metrics if m["event"] == event}
        if tag not in tags:
            raise RuntimeError(f"no tag {tag} among {tags}")
        found = {s.step: s.value for s in reader.Scalars(tag)}
        peers.equal(f"TensorBoard {tag}: steps", sorted(found), sorted(wanted), f"{len(wanted)} steps")
        worst = max(abs(found[s] - wanted[s]) / abs(wanted[s]) for s in wanted)
        peers.within(f"TensorBoard {tag}: values", worst, 2 ** -23, "float32, relative difference")


def training_loss(peers):
    """`knlp eval --task loss` repeats what training measured."""
    run = peers.scratch / "run-events"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = min(m["val_loss"] for m in metrics if m["event"] == "eval")       # eval takes the best checkpoint
    ours = json.loads(peers.knlp("eval", "--model", run, "--threads", peers.threads, "--json"))
    peers.tell(ours["windows_of_training"], "eval reads the windows of training", ours["batches_sha256"][:12])
    peers.within("eval repeats the loss of training", abs(ours["loss"] - measured), 1e-6, "|difference|")


def our_safetensors(peers):
    run = peers.scratch / "run-events"
    for name in ("model", "optim"):
        path = sorted((run / "checkpoints").glob("step-*"))[-1] / f"{name}.safetensors"
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        finite = all(torch.isfinite(t).all().item() for t in tensors.values())
        header = int.from_bytes(path.read_bytes()[:8], "little")
        peers.tell(finite and (8 + header) % 64 == 0, f"our {name}.safetensors read by theirs",
                   f"{len(tensors)} tensors, data at byte {8 + header}")


def their_safetensors(peers):
    """What their writer makes of each type that weights may have is read by ours: see check_models. Here:
    our logits file through their NumPy reader is what their PyTorch reader says."""
    from safetensors.numpy import load_file as load_numpy

    logits = peers.logits(peers.scratch / "theirs-F32-single", [1, 2, 3])
    path = sorted(peers.scratch.glob("logits-*.safetensors"))[-1]
    peers.equal("our logits read by NumPy and by PyTorch", load_numpy(path)["logits"].ravel().tolist(),
                logits.ravel().tolist(), "equal")


CHECKS = [tensorboard, training_loss, our_safetensors, their_safetensors]
