"""The programs that `make bench-peers` lets take turns: each waits, with everything warm, until it is asked."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Missing(Exception):
    """A rival that cannot take part, with the reason that its row gives."""


def environment(threads, scratch):
    """The same for every side; what torch.compile makes stays in the scratch directory."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_", "KNLP_", "KCONFIG_"))}
    return kept | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
                   "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": str(threads)}


class LineReader:
    """Lines of a file descriptor, with a limit on the wait."""

    def __init__(self, descriptor):
        self.descriptor, self.rest = descriptor, b""

    def line(self, timeout):
        """The next line, None when the wait is over, "" at the end."""
        until = time.monotonic() + timeout
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                return None
            try:
                part = os.read(self.descriptor, 1 << 16)
            except OSError:                          # a terminal whose program has ended
                part = b""
            if not part:
                return ""
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace") + "\n"


class Side:
    """A program that speaks the protocol of `knlp bench serve`."""

    def __init__(self, name, command, log, environ, timeout):
        self.name, self.log, self.timeout = name, Path(log), timeout
        self.losses = []
        with open(self.log, "w") as errors:
            self.process = subprocess.Popen([str(word) for word in command], env=environ, stderr=errors,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = LineReader(self.process.stdout.fileno())
        self.ready = self.answer()
        self.peak_rss_bytes = 0

    def answer(self):
        line = self.lines.line(self.timeout)
        if line is None:
            self.close()
            raise Missing(f"no answer within {self.timeout:.0f} s")
        try:
            return json.loads(line)
        except ValueError:
            status = self.process.wait()
            raise Missing(f"ended with status {status}: {self.last_words()}") from None

    def last_words(self):
        """The last line of its log that names an error, else the last one."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b|knlp: error", line)]
        return (errors or lines)[-1][:200]

    def ask(self, request):
        self.process.stdin.write((request + "\n").encode())
        self.process.stdin.flush()
        return self.answer()

    def run(self, steps):
        """Seconds of each of so many steps."""
        result = self.ask(f"run {steps}")
        self.losses += result["losses"]
        self.peak_rss_bytes = result["peak_rss_bytes"]
        return result["step_s"]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close(), self.process.stdout.close()


def knlp_command(a, row, tokens, sets=()):
    words = [a.knlp, "bench", "serve", "--config", a.config, "--tokens", tokens, "--batch", row.batch,
             "--threads", a.threads, "--precision", row.precision, "--device", a.device,
             "--learning-rate", row.learning_rate, "--seed", 1]
    defaults = ["WEIGHT_DECAY=0.1", "ADAM_BETA1=0.9", "ADAM_BETA2=0.95", "GRADIENT_CLIP_NORM=1.0"]
    for symbol in row.symbols(a.threads) + (list(sets) or defaults):
        words += ["--set", symbol]
    return words


def torch_command(a, row, tokens, weights, compiled):
    words = [sys.executable, HERE / "torch_step.py", weights, tokens, "--batch", row.batch, "--threads", a.threads,
             "--learning-rate", row.learning_rate, "--seed", 1, "--device", a.device]
    return words + ["--compile"] * compiled + ["--bf16"] * (row.precision == "bf16")


class LlmcSide:
    """llm.c's train_gpt2, which knows no requests: it is stopped and continued between its steps.

    A step that is under way when it is stopped counts the pause, so the first one of each turn is left out.
    """
    STEP = re.compile(r"step (\d+): train loss (\d+\.\d+) \(took (\d+\.\d+) ms\)")
    STEPS = 40                                       # of the 41 that it takes before it ends

    def __init__(self, program, directory, environ, timeout):
        self.name, self.timeout, self.losses, self.peak_rss_bytes = "llm.c", timeout, [], 0
        controller, terminal = pty.openpty()         # a terminal, so that it writes line by line
        self.process = subprocess.Popen([str(program)], cwd=directory, env=environ, stdin=subprocess.DEVNULL,
                                        stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.descriptor, self.lines, self.said = controller, LineReader(controller), []

    def step(self):
        while True:
            line = self.lines.line(self.timeout)
            if line is None:
                raise Missing(f"llm.c: no step within {self.timeout:.0f} s")
            if line == "":
                raise Missing(f"llm.c ended early: {' / '.join(self.said[-2:])[-200:]}")
            self.said.append(line.strip())
            if found := self.STEP.search(line):
                self.losses.append(float(found[2]))
                return float(found[3]) / 1e3

    def run(self, steps):
        """Seconds of at most so many steps: fewer when it comes to its end, and without the one that was paused."""
        paused = bool(self.losses)
        steps = min(steps + paused, self.STEPS - len(self.losses))
        os.kill(self.process.pid, signal.SIGCONT)
        seconds = [self.step() for _ in range(steps)]
        os.kill(self.process.pid, signal.SIGSTOP)
        return seconds[paused:]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.descriptor)
