"""Records of measurements under results/ and the tables of docs/performance.md that are made from them."""
import functools
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]
PAGE = SOURCES / "docs/performance.md"
LEDGER = SOURCES / "results/ledger.jsonl"


def machine_facts(machine, threads):
    """What a table says of the machine it was measured on."""
    l1 = machine.get("l1d_bytes")
    facts = [machine.get("cpu_model") or "unknown processor", l1 and f"L1 {l1 // 1024} KiB", f"{threads} threads",
             machine.get("isa", "")]
    return [fact for fact in facts if fact]


def same_processor(one, other):
    """Virtual machines give different processors one name; their instructions and caches tell them apart."""
    return all(one.get(key) == other.get(key) for key in
               ("cpu_model", "isa", "bf16", "l1d_bytes", "l2_bytes", "l3_bytes"))


def path_of_record(kind, machine, threads):
    """results/KIND/MACHINE-N-threads.json; another processor of that name has its first cache in the name too."""
    slug = re.sub(r"[^a-z0-9]+", "-", (machine.get("cpu_model") or "unknown processor").lower()).strip("-")
    path = SOURCES / "results" / kind / f"{slug}-{threads}-threads.json"
    if not path.exists() or same_processor(json.loads(path.read_text())["machine"], machine):
        return path
    return path.with_name(f"{slug}-l1-{(machine.get('l1d_bytes') or 0) // 1024}-kib-{threads}-threads.json")


def merge(knlp, kind, command, machine, threads, name, row):
    """Puts one row into the record of the machine, adds it to the ledger and returns the record's path."""
    path = path_of_record(kind, machine, threads)
    known = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    known.update(machine=machine, threads=threads, command=command)
    known["rows"][name] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(known, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.rename(file.name, path)
    add_to_ledger(knlp, path)
    return path


def add_to_ledger(knlp, path):
    """Appends what is new in a record to the ledger."""
    subprocess.run([knlp, "report", "ledger", "add", path, "--ledger", LEDGER], stdout=subprocess.DEVNULL, check=True)
    newest_rows.cache_clear()


@functools.lru_cache(maxsize=None)
def newest_rows():
    """The newest row of the ledger of each benchmark, by its run_id."""
    rows = map(json.loads, LEDGER.read_text(encoding="utf-8").splitlines())
    return {row["run_id"]: row for row in rows if row["kind"] == "benchmark"}


def figure(path, pointer, form):
    """A value of a record as the newest row of the ledger has it, with the comment that scripts/check-docs compares
    it by."""
    place, keys = path.removeprefix("results/").removesuffix(".json"), pointer.split("/")[1:]
    if keys[0] == "rows":
        place, keys = f"{place}/{keys[1]}", keys[2:]
    row, metric = newest_rows()[place], "/".join(keys).replace(" ", "_")
    value = row["metrics"][metric]
    factor = re.match(r"\*(\S+)\s+(.*)", form)
    shown = format(value * float(factor[1]), factor[2]) if factor else format(value, form)
    return f"{shown} <!-- ledger:{row['seq']} metric={metric} fmt={form} -->"


def dates_of(record):
    """The day of the measurements, or the first and the last."""
    dates = sorted(row["utc"][:10] for row in record["rows"].values())
    return dates[0] + (f" to {dates[-1]}" if dates[-1] != dates[0] else "")


def write_tables(kind, begin, end, section):
    """Puts section(path, record) of every record of this kind between two markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    lines = [""]
    for path in sorted((SOURCES / "results" / kind).glob("*.json")):
        lines += section(str(path.relative_to(SOURCES)), json.loads(path.read_text()))
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + end + after, encoding="utf-8")
