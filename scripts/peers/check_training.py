"""A nano run of knlp and the same run in eager PyTorch, from equal weights over equal batches."""
import json
import statistics
import subprocess
import sys
from pathlib import Path

from peers import random_gpt2

STEPS = 50
SCRIPT = Path(__file__).with_name("nano_step.py")
NANO = dict(n_layer=4, n_head=4, n_embd=128, n_positions=128, vocab_size=257)


def start_weights(peers):
    where = peers.scratch / "nano-start"
    if not where.exists():
        random_gpt2(21, spread=0.02, **NANO).save_pretrained(where)
    return where


def theirs(peers, steps, optimizer_flags=()):
    out = peers.scratch / "eager.json"
    subprocess.run([sys.executable, SCRIPT, start_weights(peers), peers.dataset() / "train.bin", out, "--steps", str(steps),
                    "--schedule-steps", str(steps), "--threads", str(peers.threads), *optimizer_flags], check=True)
    return json.loads(out.read_text())


def ours(peers, name, steps):
    return peers.train(peers.scratch / name, peers.dataset(), f"GPT2_MAX_ITERS={steps}", f"GPT2_EVAL_INTERVAL={steps}",
                       "GPT2_LOG_INTERVAL=1", "GPT2_WARMUP_STEPS=10", "LEARNING_RATE=1e-3", "GPT2_MIN_LR=1e-4",
                       init_from=start_weights(peers))


def losses(peers):
    mine = [m for m in ours(peers, "run-nano", STEPS) if m["event"] == "train"]
    other = theirs(peers, STEPS, ("--warmup", "10"))
    peers.equal("nano training: steps logged", [m["step"] for m in mine], list(range(STEPS)), f"{STEPS} steps")
    worst = max(abs(m["loss"] - theirs_loss) for m, theirs_loss in zip(mine, other["losses"]))
    peers.within(f"nano training: loss over {STEPS} steps", worst, 1e-3,
                 f"{other['losses'][0]:.3f} to {other['losses'][-1]:.3f}: max |difference|")
    worst = max(abs(m["grad_norm"] - norm) / norm for m, norm in zip(mine, other["grad_norms"]))
    peers.within("nano training: gradient norm", worst, 1e-2, "max relative difference")


def speed(peers):
    """Steps of both in turn, so that a busy machine slows both. A figure, not a verdict: `knlp bench` judges."""
    times = {"knlp": [], "eager": []}
    for turn in range(3):
        metrics = [m for m in ours(peers, f"run-speed-{turn}", 60) if m["event"] == "train"]
        times["knlp"] += [sum(m["ms"].values()) / 1e3 for m in metrics[10:]]
        times["eager"] += theirs(peers, 60, ("--warmup", "10"))["step_s"]
    median = {name: statistics.median(values) for name, values in times.items()}
    peers.note("nano step, median in turn",
               f"knlp {1e3 * median['knlp']:.1f} ms, PyTorch eager {1e3 * median['eager']:.1f} ms: "
               f"{median['eager'] / median['knlp']:.2f} times as fast on {peers.threads} threads")


CHECKS = [losses, speed]
