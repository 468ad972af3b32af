"""Rows of `make bench-peers` that train: steps of every side in turn, and whether they compute the same."""
import array
import hashlib
import json
import statistics
import subprocess
from pathlib import Path

from bench_rows import LOSS_LIMIT, LOSS_STEPS
from bench_sides import LlmcSide, Missing, Side, environment, knlp_command, torch_command
from bench_text import make_llmc_tokens, make_tokens, sha256

FEWEST = 7                                       # samples that a ratio needs


def quantile(values, q):
    values = sorted(values)
    at = q * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def summary(seconds, tokens):
    """As a benchmark record of knlp has it; noisy by the same rule."""
    median = statistics.median(seconds)
    mad = statistics.median(abs(s - median) for s in seconds)
    p10, p90 = quantile(seconds, 0.1), quantile(seconds, 0.9)
    return {"median_s": median, "p10_s": p10, "p90_s": p90, "mad_s": mad, "samples": len(seconds),
            "noisy": mad > 0.05 * median or p90 - p10 > 0.3 * median, "tokens_per_s": tokens / median}


class Contest:
    """The sides of a row that are there, and why the others are not."""

    def __init__(self, a, row):
        self.a, self.row, self.missing, self.sides = a, row, {}, {}
        self.scratch = a.scratch / row.name
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.weights = self.scratch / "weights"
        self.environ = environment(a.threads, a.scratch)
        self.tokens = make_tokens(a.scratch, row.vocab_size)

    def start(self, name):
        """Starts one side; a rival that cannot is noted."""
        try:
            self.sides[name] = self.llmc() if name == "llm.c" else self.speaker(name)
        except Missing as reason:
            if name == "knlp":
                raise RuntimeError(f"knlp: {reason}") from None
            self.drop(name, reason)

    def speaker(self, name):
        sets = ()
        if "llm.c" in self.row.rivals:               # what train_gpt2 has built in
            sets = ["WEIGHT_DECAY=0.0", "ADAM_BETA1=0.9", "ADAM_BETA2=0.999", "GRADIENT_CLIP_NORM=0.0"]
        command = (knlp_command(self.a, self.row, self.tokens, sets) if name == "knlp" else
                   torch_command(self.a, self.row, self.tokens, self.weights, name == "compile"))
        side = Side(name, command, self.scratch / f"{name}.log", self.environ, self.a.timeout)
        if name == "knlp":
            side.ask(f"save {self.weights}")
            if "llm.c" in self.row.rivals:           # one batch again and again: train_gpt2 shuffles
                side.ask("windows " + " ".join(str(i * self.row.n_ctx) for i in range(self.row.batch)))
        return side

    def llmc(self):
        if not self.a.llmc:
            raise Missing("LLMC_DIR= was not given")
        program = self.a.llmc / "train_gpt2"
        if not program.exists():
            raise Missing("LLMC_DIR has no train_gpt2; build it there with: make train_gpt2")
        subprocess.run([self.a.knlp, "convert", "--to", "llmc", "--model", self.weights, "--force", "--out",
                        self.scratch / "gpt2_124M.bin"], check=True, capture_output=True)
        with open(self.tokens, "rb") as file:
            ids = array.array("H", file.read(2 * (self.row.batch * self.row.n_ctx + 1)))
        for split in ("train", "val"):
            make_llmc_tokens(self.scratch / f"dev/data/tinyshakespeare/tiny_shakespeare_{split}.bin", ids)
        return LlmcSide(program, self.scratch, self.environ, self.a.timeout)

    def drop(self, name, reason):
        self.missing[name] = str(reason)
        if name in self.sides:
            self.sides.pop(name).close()

    def run(self, name, steps):
        try:
            return self.sides[name].run(steps)
        except (Missing, BrokenPipeError) as reason:
            if name == "knlp":
                raise RuntimeError(f"knlp: {reason}") from None
            self.drop(name, reason)
            return []

    def close(self):
        for side in self.sides.values():
            side.close()


def timed_rounds(contest, rounds):
    """{side: [[seconds of a turn's steps]]}; who begins a round changes, so that no side has the better place."""
    row, turns = contest.row, {name: [] for name in contest.sides}
    for name in list(contest.sides):
        contest.run(name, row.warm_up)
    for number in range(rounds):
        order = list(contest.sides)
        for name in order[number % len(order):] + order[:number % len(order)]:
            if name in contest.sides:
                turns[name].append(contest.run(name, row.block))
    return turns


def facts_of(side):
    """What besides program and input decides its losses, as it said when it was ready."""
    said = getattr(side, "ready", {})
    machine = said.get("machine", {})
    return json.dumps([said.get(key) for key in ("torch", "device", "device_name", "gemm", "isa", "threads")] +
                      [machine.get(key) for key in ("isa", "cpu_model")])


class LossStore:
    """Losses that a side reached from these weights over this data, kept: a later run need not repeat them as long
    as neither the program, its libraries and routes, the machine nor what it was given has changed."""

    def __init__(self, contest):
        self.contest, self.folder = contest, contest.a.scratch / "losses"
        given = [sha256(contest.tokens), sha256(contest.weights / "model.safetensors"), repr(contest.row),
                 contest.a.threads]
        self.given = json.dumps(given)
        self.folder.mkdir(exist_ok=True)

    def path(self, name):
        program = {"knlp": [self.contest.a.knlp], "llm.c": [self.contest.a.llmc and self.contest.a.llmc / "train_gpt2"]}
        files = program.get(name, [Path(__file__).with_name(f) for f in
                                   ("torch_step.py", "nano_step.py", "gpt2_reference.py")])
        parts = [self.given, name, facts_of(self.contest.sides[name]), *map(sha256, files)]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
        return self.folder / f"{self.contest.row.name}-{name}-{key}.json"

    def losses(self, name, steps):
        """The first `steps` losses of this side, run on if it has not come that far; None when it failed."""
        path = self.path(name)
        known = json.loads(path.read_text()) if path.exists() else []
        if len(known) < steps:
            if (lacking := steps - len(self.contest.sides[name].losses)) > 0:
                self.contest.run(name, lacking)
            if name not in self.contest.sides:
                return None
            known = self.contest.sides[name].losses
            path.write_text(json.dumps(known))
        return known[:steps]


def compare_losses(contest):
    """{rival: {"steps", "max_delta", "limit", "knlp", "rival", "agree"}} of the first steps of each."""
    store, found, limit = LossStore(contest), {}, LOSS_LIMIT[contest.row.precision]
    for name in [n for n in contest.row.rivals if n in contest.sides]:
        steps = LlmcSide.STEPS if name == "llm.c" else LOSS_STEPS
        ours, theirs = store.losses("knlp", steps), store.losses(name, steps)
        if theirs is None:
            continue
        worst = max(abs(mine - other) for mine, other in zip(ours, theirs, strict=True))
        found[name] = {"steps": steps, "max_delta": worst, "limit": limit, "knlp": ours[-1], "rival": theirs[-1],
                       "agree": worst <= limit}
    return found


def ratios(result, turns):
    """{rival: {"median", "low", "high"}}: how many times faster knlp is; low and high over the rounds."""
    found = {}
    for name, verdict in result["loss"].items():
        theirs, ours = result["sides"].get(name), result["sides"].get("knlp")
        if not verdict["agree"] or not theirs or min(theirs["samples"], ours["samples"]) < FEWEST:
            continue
        rounds = [statistics.median(b) / statistics.median(a) for a, b in zip(turns["knlp"], turns[name]) if a and b]
        found[name] = {"median": theirs["median_s"] / ours["median_s"], "low": min(rounds), "high": max(rounds)}
    return found


def begin(a, row, contest):
    facts = contest.sides["knlp"].ready
    return {"what": row.what, "precision": row.precision, "threads": a.threads, "goal": row.goals,
            "shape": {"n_layer": row.n_layer, "n_head": row.n_head, "d_model": row.d_model, "n_ctx": row.n_ctx,
                      "vocab_size": row.vocab_size, "batch": row.batch, "parameters": facts["parameters"]},
            "device": facts["device_name"] or facts["device"], "gemm": facts["gemm"], "revision": facts["revision"], "machine": facts["machine"],
            "tokens_sha256": sha256(contest.tokens), "sides": {}, "ratio": {}}


def step_row(a, row):
    contest = Contest(a, row)
    try:
        for name in ("knlp", *row.rivals):
            contest.start(name)
        result = begin(a, row, contest)
        rounds = row.rounds if a.rounds < 0 else a.rounds
        turns = timed_rounds(contest, rounds)
        for name in turns:
            if seconds := [s for turn in turns[name] for s in turn]:
                print(f"  TIMED   {row.name:<12} {name:<10} {1e3 * statistics.median(seconds):.2f} ms; losses follow",
                      flush=True)
        result["loss"] = compare_losses(contest)
        for name, side in contest.sides.items():
            if "torch" in getattr(side, "ready", {}):
                result["torch"] = side.ready["torch"]
            seconds = [s for turn in turns[name] for s in turn]
            if seconds:
                result["sides"][name] = summary(seconds, row.batch * row.n_ctx)
        result["ratio"] = ratios(result, turns)
        result["missing"] = contest.missing
        return result
    finally:
        contest.close()


def memory_row(a, row):
    """Peak resident memory of each side alone, over the same steps."""
    contest = Contest(a, row)
    losses, result = {}, None
    for name in ("knlp", *row.rivals):
        contest.start(name)
        if name not in contest.sides:
            continue
        result = result or begin(a, row, contest)
        try:
            contest.run(name, row.warm_up + 1)
            if name in contest.sides:
                side = contest.sides[name]
                result["sides"][name] = {"peak_rss_mib": side.peak_rss_bytes / 2**20}
                losses[name] = side.losses
        finally:
            contest.close()
            contest.sides = {}
    limit, result["loss"] = LOSS_LIMIT[row.precision], {}
    for name in [n for n in losses if n != "knlp"]:
        worst = max(abs(x - y) for x, y in zip(losses["knlp"], losses[name]))
        result["loss"][name] = {"steps": len(losses[name]), "max_delta": worst, "limit": limit, "agree": worst <= limit,
                                "knlp": losses["knlp"][-1], "rival": losses[name][-1]}
        if worst <= limit:
            part = result["sides"]["knlp"]["peak_rss_mib"] / result["sides"][name]["peak_rss_mib"]
            result["ratio"][name] = {"median": part}
    result["missing"] = contest.missing
    return result


def train_row(a, row):
    return memory_row(a, row) if row.measure == "peak_rss" else step_row(a, row)
