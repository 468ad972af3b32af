"""Rows of `make bench-peers` that do not train: the tokenizer against tiktoken, decoding against llama.cpp."""
import json
import statistics
import subprocess
import sys
from pathlib import Path

from bench_sides import Missing, Side, environment
from bench_text import make_text, sha256
from bench_train import FEWEST, summary

HERE = Path(__file__).resolve().parent
ROUNDS = 7


def knlp(a, *words):
    done = subprocess.run([str(word) for word in (a.knlp, *words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=environment(a.threads, a.scratch))
    if done.returncode != 0:
        raise RuntimeError(f"knlp {words[0]} {words[1]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def bench_records(a, *words):
    """Records of one `knlp bench … --json` by what they measure."""
    lines = [json.loads(line) for line in knlp(a, "bench", *words, "--json", "--config", a.config).splitlines()]
    return {line["what"]: line for line in lines}


def facts(record):
    return {"machine": record["machine"], "revision": record["revision"]}


# --- the tokenizer

def vocabulary(a):
    """(what knlp takes, rank file for tiktoken, its name): GPT-2's where its ranks are given."""
    if a.ranks:
        return a.ranks, a.ranks, "GPT-2's vocabulary"
    where = a.scratch / "bpe-8192"
    if not where.exists():
        text, _ = make_text(a.scratch)
        knlp(a, "data", "train-bpe", "--text", text, "--vocab", 8192, "--out", where)
    return where, where / "ranks.tiktoken", "a vocabulary of 8192"


def tokenizer_row(a):
    """Encoding one text on one thread, in turns; the ids of both must be the same.

    Of knlp the first pass of a new process counts, since its cache of words would know all of them in the second;
    tiktoken, which has none, stays in its process.
    """
    text, source = make_text(a.scratch)
    ours, ranks, name = vocabulary(a)
    size = text.stat().st_size
    rounds = ROUNDS if a.rounds < 0 else a.rounds
    result = {"what": f"BPE encode, one thread, {name}", "threads": 1, "goal": {"tiktoken": 1.5}, "ratio": {},
              "missing": {}, "sides": {}, "bytes": size, "text": source, "text_sha256": sha256(text)}
    words = ("tokenizer", "--tokenizer", ours, "--text", text, "--threads", 1)
    result |= facts(bench_records(a, *words)["bpe.encode"])
    seconds = {"knlp": [], "tiktoken": []}
    try:
        rival = Side("tiktoken", [sys.executable, HERE / "tiktoken_encode.py", ranks, text], a.scratch / "tiktoken.log",
                     environment(1, a.scratch), a.timeout)
    except Missing as reason:
        result["missing"]["tiktoken"], rival = str(reason), None
    try:
        for _ in range(rounds):
            seconds["knlp"].append(bench_records(a, *words)["bpe.encode"]["results"]["first_pass_s"])
            if rival:
                seconds["tiktoken"] += rival.ask("run 1")["step_s"]
        if rival:
            theirs = rival.ready
            ids = [int(word) for word in knlp(a, "data", "encode", "--tokenizer", ours, text).split()]
            same = len(ids) == theirs["tokens"] and sum((i + 1) * v for i, v in enumerate(ids)) == theirs["checksum"]
            result["loss"] = {"tiktoken": {"agree": same, "tokens": len(ids), "rival_tokens": theirs["tokens"]}}
            result["tiktoken"] = theirs["version"]
    finally:
        if rival:
            rival.close()
    for side, values in seconds.items():
        if values:
            result["sides"][side] = summary(values, size / 1e6) | {"mb_per_s": size / 1e6 / statistics.median(values)}
    if rival and result["loss"]["tiktoken"]["agree"] and rounds >= FEWEST:
        rates = [theirs / mine for mine, theirs in zip(seconds["knlp"], seconds["tiktoken"])]
        result["ratio"]["tiktoken"] = {
            "median": statistics.median(seconds["tiktoken"]) / statistics.median(seconds["knlp"]),
            "low": min(rates), "high": max(rates)}
    return result


# --- decoding

def llama_program(a):
    if not a.llama:
        raise Missing("LLAMA_DIR= was not given")
    found = [p for p in (a.llama / "build/bin/llama-bench", a.llama / "llama-bench") if p.exists()]
    if not found:
        raise Missing("LLAMA_DIR has no llama-bench; build it there with: cmake -B build && cmake --build build")
    if not a.gguf:
        raise Missing("knlp does not write GGUF yet; give a GPT-2 124M in fp32 with LLAMA_GGUF=FILE")
    return found[0]


def llama_rates(a, program):
    """Tokens/s of one sequence decoded by llama-bench, one figure a repetition."""
    done = subprocess.run([program, "-m", a.gguf, "-t", str(a.threads), "-p", "0", "-n", "64", "-r", "3", "-o", "json"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=a.timeout,
                          env=environment(a.threads, a.scratch))
    if done.returncode != 0:
        raise Missing(f"llama-bench ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    test = json.loads(done.stdout)[0]
    return test["samples_ts"], test


def decode_row(a):
    """Decoding one sequence with GPT-2 124M of fp32 weights. The two programs are given different files, so equal
    numbers of parameters and bytes are all that is checked: the figures stand beside each other, no ratio."""
    result = {"what": "GPT-2 124M, decode 1 sequence, fp32 weights", "threads": a.threads, "goal": {}, "ratio": {},
              "missing": {}, "sides": {}}
    # llama-bench starts from nothing, so 64 tokens see 32 on average.
    words = ("decode", "--size", "124M", "--threads", a.threads, "--context", 32, "--samples", 7)
    ours, theirs, rounds = [], [], ROUNDS if a.rounds < 0 else a.rounds
    try:
        program = llama_program(a)
    except Missing as reason:
        result["missing"]["llama.cpp"], program = str(reason), None
    for _ in range(rounds):
        record = bench_records(a, *words)
        mine = next(line for what, line in record.items() if what.startswith("decode"))
        result |= facts(mine)
        ours.append(mine["median_s"])
        if program:
            try:
                rates, test = llama_rates(a, program)
                theirs += [1 / rate for rate in rates]
                result["llama.cpp"] = {key: test[key] for key in ("build_commit", "model_type", "model_size",
                                                                  "model_n_params")}
            except (Missing, subprocess.TimeoutExpired) as reason:
                result["missing"]["llama.cpp"], program = str(reason), None
    for side, values in (("knlp", ours), ("llama.cpp", theirs)):
        if values:
            result["sides"][side] = summary(values, 1)
    return result


OTHER_ROWS = {"tokenizer": tokenizer_row, "decode": decode_row}
