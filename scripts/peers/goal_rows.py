"""The rows of `make bench-goals`: what is measured, the figures taken from it, and what they should be."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One value of a row: of which record, where in it, how it is shown and what it should be."""
    label: str
    what: str                   # name of knlp's record
    key: str                    # of its results; "median_s"; or with a "/", the way to it in the record
    form: str                   # as scripts/check-docs takes it
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def way(self):
        return self.key if self.key == "median_s" or "/" in self.key else f"results/{self.key}"

    def pointer(self, row):
        return f"/rows/{row}/records/{self.what}/{self.way()}"

    def value(self, records):
        """None when the record does not have it."""
        found = records.get(self.what)
        for key in self.way().split("/"):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def goal(self):
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} … {self.at_most:g}"
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else ""

    def verdict(self, value):
        if not self.goal():
            return ""
        reached = ((self.at_least is None or value >= self.at_least) and
                   (self.at_most is None or value <= self.at_most))
        return "reached" if reached else "missed"


@dataclass(frozen=True)
class Row:
    """One call of `knlp bench`, or what this script measures itself: with "startup", "memory" and
    "endurance" runs of `knlp train`, with "verb" another verb."""
    name: str
    label: str
    arguments: tuple
    figures: tuple
    device: str = "cpu"         # or "cuda": measured with DEVICE=cuda alone


def breakdown_adds_up():
    return (Figure("sum of the breakdown's groups over the step", "step", "details/sum_over_step", ".3f", at_least=0.97,
                   at_most=1.03),
            Figure("share of the step that no group has", "step", "details/other_share", ".3f", at_most=0.05))


def step(name, label, n_ctx, precision, most):
    shape = ("--size", "124M", "--batch", "4", "--n-ctx", str(n_ctx), "--precision", precision)
    return Row(name, label, ("step", "--breakdown", *shape), (
        Figure("step", "step", "median_s", "*1000 ,.0f", "ms"),
        Figure("step over its products alone + 28 bytes a parameter", "step", "step_ratio", ".2f", at_most=most),
        Figure("optimizer over 28 bytes a parameter", "step", "optimizer_ratio", ".2f", at_most=1.3),
        *breakdown_adds_up()))


def decode(dtype):
    arguments, one = ("decode", "--size", "124M", "--dtype", dtype, "--samples", "21"), []
    for context in (128, 512, 1024):
        what = f"decode.s{context}"
        one += [Figure(f"a token after {context:,}", what, "median_s", "*1000 .2f", "ms"),
                Figure(f"after {context:,}: share of the read bandwidth around it", what, "read_share", ".2f",
                       at_least=0.85),
                Figure(f"after {context:,}: share of the best read bandwidth", what, "read_share_of_best", ".2f")]
    yield Row(f"decode-{dtype}", f"decode 124M, 1 sequence, {dtype} weights", arguments, (
        *one,
        Figure("time a token of context adds, over that of reading its keys and values", "decode.s1024",
               "slope_ratio", ".2f"),
        Figure("of what a token of context adds, attention", "decode.s1024", "slope_attention_share", ".2f",
               at_least=0.9)))
    yield Row(f"decode-8-{dtype}", f"decode 124M, 8 sequences, {dtype} weights", (*arguments, "--batch", "8"), (
        Figure("128 tokens: tokens/s over those of 1 sequence", "decode.s128", "times_batch_1", ".2f", at_least=5),
        Figure("1,024 tokens: tokens/s over those of 1 sequence", "decode.s1024", "times_batch_1", ".2f",
               at_least=3.5)))


def prefill(dtype, name="prefill", how="", arguments=(), least=0.7):
    return Row(f"{name}-{dtype}", f"prefill 124M, 1,024 tokens{how}, {dtype} weights",
               ("prefill", "--size", "124M", "--dtype", dtype, *arguments), (
        Figure("rate over that of its products alone", "prefill", "gemm_share", ".2f", at_least=least),
        Figure("time to the first token", "prefill", "first_token_ms", ",.0f", "ms")))


def start_up(name, label, most, *symbols):
    what = "process start to the beginning of step 1"
    return Row(f"startup-{name}", f"start of a run, {label}", ("startup", *symbols), (
        Figure(what, "startup", "startup_s", ".2f", "s", at_most=most),
        Figure(what + ", nothing in the cache: routes are timed", "startup", "cold_startup_s", ".2f", "s",
               at_most=most)))


def of_124m(n_ctx):
    return ("GPT2_MODEL_124M=y", "GPT2_VOCAB_SIZE=50257", "GPT2_DROPOUT=0.0", "BATCH_SIZE=4", "GRADIENT_ACCUMULATION=1",
            f"GPT2_BLOCK_SIZE={n_ctx}")


ROWS = (
    step("step-256-fp32", "124M B4 T256, fp32", 256, "fp32", 1.25),
    step("step-256-bf16", "124M B4 T256, bf16", 256, "bf16", 1.35),
    step("step-1024-fp32", "124M B4 T1024, fp32", 1024, "fp32", 1.25),
    step("step-1024-bf16", "124M B4 T1024, bf16", 1024, "bf16", 1.35),
    Row("step-nano", "nano, B16 T128, fp32", ("step", "--breakdown", "--size", "nano", "--batch", "16"), (
        Figure("step", "step", "median_s", "*1000 .1f", "ms"), *breakdown_adds_up())),
    *decode("fp32"), *decode("bf16"), prefill("fp32"), prefill("bf16"),
    prefill("fp32", "prefill-chunk", " in chunks of 256", ("--chunk", "256"), None),
    Row("memory", "124M B4 T1024, fp32, memory of a run", ("memory", *of_124m(1024)), (
        Figure("peak outside saves", "memory", "peak_mib", ",.0f", "MiB"),
        Figure("predicted before the first step over it", "memory", "predicted_over_measured", ".2f", at_least=0.9,
               at_most=1.1),
        Figure("copies held by a save, predicted", "memory", "snapshot_mib", ",.0f", "MiB"),
        Figure("peak with a save over both predictions", "memory", "saving_over_predicted", ".2f"))),
    Row("endurance", "10,000 steps of L4 H4 C128, B12 T64", (
        "endurance", "GPT2_MODEL_CUSTOM=y", "GPT2_N_LAYER=4", "GPT2_N_HEAD=4", "GPT2_N_EMBD=128", "GPT2_BLOCK_SIZE=64",
        "GPT2_DROPOUT=0.0", "BATCH_SIZE=12", "GRADIENT_ACCUMULATION=1", "GPT2_MAX_ITERS=10000", "GPT2_LOG_INTERVAL=10",
        "GPT2_EVAL_INTERVAL=500", "SAVE_CHECKPOINT=n"), (
        Figure("resident memory without pages of files, at step 1,000", "endurance", "resident_mib", ",.1f", "MiB"),
        Figure("how much more it ever was after that, as a part of it", "endurance", "growth", ".4f", at_most=0.01))),
    Row("train", "nano with log, evaluation and checkpoints", ("train",), (
        Figure("steps/s over those with all of it off", "train", "ratio", ".3f", at_least=0.97),
        Figure("evaluation, each", "train", "eval_s", "*1000 ,.0f", "ms"))),
    Row("checkpoint", "checkpoint of 124M", ("checkpoint", "--size", "124M"), (
        Figure("rate over that of dd with fsync", "checkpoint", "ratio_dd", ".2f", at_least=0.7),
        Figure("rate over that of a plain write + fsync", "checkpoint", "ratio", ".2f", at_least=0.7),
        Figure("training waits", "checkpoint", "stall_ms", ",.0f", "ms"),
        Figure("that over a plain copy of as many bytes into fresh memory", "checkpoint", "stall_over_fresh_copy",
               ".2f", at_most=2),
        Figure("that over a copy within memory in use", "checkpoint", "stall_over_copy", ".2f"))),
    start_up("nano", "nano", 2),
    start_up("124M", "124M, weights initialised", 6, *of_124m(256)),
    Row("startup-verb", "a verb without tensors: config list", ("verb", "config", "list"), (
        Figure("over a program that only loads LibTorch", "verb", "over_load_ms", ".0f", "ms", at_most=50),
        Figure("such a program", "verb", "load_ms", ".0f", "ms"))),
    Row("step-cuda", "124M B32 T1024, bf16, on a CUDA device",
        ("step", "--size", "124M", "--batch", "32", "--n-ctx", "1024", "--precision", "bf16"), (
        Figure("step", "step", "median_s", "*1000 ,.1f", "ms"),
        Figure("share of the device's bf16 peak (MFU)", "step", "mfu", ".2f", at_least=0.45)), device="cuda"),
)
