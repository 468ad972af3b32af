#!/usr/bin/env python3
"""Writes the table of docs/performance.md on what a build costs, from results/build; run by scripts/bench-build."""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from record_file import figure, write_tables

BEGIN, END = "<!-- build: begin, written by scripts/bench-build -->", "<!-- build: end -->"
# What, way to it in the record, form, unit, what it should not exceed.
LINES = (
    ("binary and all tests from nothing", "/clean_s", ".0f", " s", 360),
    ("the slowest file without LibTorch", "/plain/slowest_s", ".1f", " s", 6),
    ("the slowest file with LibTorch", "/torch/slowest_s", ".1f", " s", 15),
    ("files that see LibTorch, of the binary", "/torch/binary_files", "d", "", 29),
    ("files that see LibTorch, with the tests", "/torch/files", "d", "", None),
    ("`make` with nothing to do", "/noop_s", ".2f", " s", 1),
    ("`make` after a build symbol was switched (`ENABLE_SPAM`)", "/toggle_s", ".1f", " s", 60),
)


def value_at(record, pointer):
    for key in pointer.split("/")[1:]:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def section(path, record):
    machine = record["machine"]
    yield (f"Measured on {machine['cpu_model']}, {machine['cores']} cores, `{record['command']}`; {record['utc'][:10]}. "
           f"Record: `{path}`.")
    yield ""
    yield "| what | measured | goal |"
    yield "|---|---|---|"
    for what, pointer, form, unit, most in LINES:
        value = value_at(record, pointer)
        if value is None:
            continue
        goal = f"≤ {most}: {'reached' if value <= most else 'missed'}" if most is not None else ""
        yield f"| {what} | {figure(path, pointer, form)}{unit} | {goal} |"
    yield ""


if __name__ == "__main__":
    write_tables("build", BEGIN, END, section)
