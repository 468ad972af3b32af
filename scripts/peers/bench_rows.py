"""The rows of `make bench-peers`: what is trained, how long, and what it should reach."""
from dataclasses import dataclass, field

LOSS_STEPS = 50                                  # after which the losses are compared
LOSS_LIMIT = {"fp32": 1e-3, "bf16": 2e-2}


@dataclass(frozen=True)
class Row:
    """One model trained by knlp and its rivals in turn."""
    name: str
    what: str                                    # for people
    n_layer: int
    n_head: int
    d_model: int
    n_ctx: int
    vocab_size: int
    batch: int
    precision: str = "fp32"
    learning_rate: float = 1e-3
    rounds: int = 10                             # turns of each
    block: int = 5                               # steps a turn
    warm_up: int = 3                             # steps of each before the first turn; not timed
    rivals: tuple = ("eager", "compile")
    goals: dict = field(default_factory=dict)    # {rival: times as fast}
    measure: str = "step"                        # or "peak_rss": memory of each alone
    device: str = "cpu"                          # or "cuda": measured with DEVICE=cuda alone

    def symbols(self, threads):
        """knlp's configuration of it, as --set takes it."""
        return ["GPT2_MODEL_CUSTOM=y", f"GPT2_N_LAYER={self.n_layer}", f"GPT2_N_HEAD={self.n_head}",
                f"GPT2_N_EMBD={self.d_model}", f"GPT2_BLOCK_SIZE={self.n_ctx}", f"GPT2_VOCAB_SIZE={self.vocab_size}",
                "GPT2_DROPOUT=0.0", f"NUM_THREADS={threads}"]


GPT2 = dict(n_layer=12, n_head=12, d_model=768, vocab_size=50257, learning_rate=1e-4, rounds=10, block=1, warm_up=2)
ROWS = [
    Row("tiny", "L4 H4 C128, B12 T64, vocabulary 65", 4, 4, 128, 64, 65, 12, rounds=20, block=10,
        goals={"eager": 1.8, "compile": 1.5}),
    Row("nano", "L4 H4 C128, B16 T128, vocabulary 257", 4, 4, 128, 128, 257, 16, rounds=15, block=6,
        goals={"eager": 1.8, "compile": 1.25}),
    Row("10M", "L6 H6 C384, B8 T256, vocabulary 257", 6, 6, 384, 256, 257, 8, learning_rate=3e-4, rounds=12, block=2,
        goals={"eager": 1.35, "compile": 1.05}),
    Row("124M", "GPT-2 124M, B4 T256", **GPT2, n_ctx=256, batch=4, goals={"eager": 1.4, "compile": 1.3}),
    Row("124M-bf16", "GPT-2 124M, B4 T256, bf16", **GPT2, n_ctx=256, batch=4, precision="bf16",
        goals={"eager": 1.5, "compile": 1.15}),
    Row("124M-memory", "GPT-2 124M, B4 T1024, peak memory", **GPT2, n_ctx=1024, batch=4, rivals=("eager", "compile"),
        goals={"eager": 0.7}, measure="peak_rss"),
    Row("llmc", "GPT-2 124M, B4 T64", **GPT2, n_ctx=64, batch=4, rivals=("llm.c",),
        goals={"llm.c": 3.5}),
    Row("llmc-bf16", "GPT-2 124M, B4 T64, knlp in bf16", **GPT2, n_ctx=64, batch=4,
        precision="bf16", rivals=("llm.c",), goals={"llm.c": 6.0}),
    # A vocabulary that is a multiple of 64, as nanoGPT pads it: neither side multiplies odd shapes.
    Row("124M-cuda", "GPT-2 124M, B32 T1024, bf16 on a CUDA device", 12, 12, 768, 1024, 50304, 32, precision="bf16",
        learning_rate=1e-4, rounds=10, block=10, warm_up=10, goals={"compile": 1.15}, device="cuda"),
]
