"""Results of `make bench-peers` as lines for people and as the table of docs/performance.md."""
from bench_rows import ROWS
from record_file import dates_of, figure, machine_facts, write_tables

BEGIN, END = "<!-- peers: begin, written by make bench-peers RECORD=1 -->", "<!-- peers: end -->"
RIVALS = {"eager": "PyTorch eager", "compile": "torch.compile", "llm.c": "llm.c", "llama.cpp": "llama.cpp",
          "tiktoken": "tiktoken"}


def is_memory(row):
    return "peak_rss_mib" in row["sides"].get("knlp", {})


def agreement(row, rival):
    """Why there is no ratio although the rival ran; "" when there is one."""
    verdict = row.get("loss", {}).get(rival)
    if rival in row["ratio"] or verdict is None:
        return ""
    if verdict["agree"]:
        return "too few samples for a ratio"
    if "tokens" in verdict:
        return f"no ratio: {verdict['tokens']} tokens against {verdict['rival_tokens']}, or other ones"
    return f"no ratio: the losses differ by {verdict['max_delta']:.2g}, more than {verdict['limit']:g}"


def goal(row, rival):
    """What the ratio should be and whether it is; "" without a goal."""
    if rival not in row["goal"]:
        return ""
    wanted = row["goal"][rival]
    text = f"{'≤' if is_memory(row) else '≥'} {wanted:g}"
    if rival not in row["ratio"]:
        return text
    value = row["ratio"][rival]["median"]
    reached = value <= wanted if is_memory(row) else value >= wanted
    return f"{text}: {'reached' if reached else 'missed'}"


def lines_of_row(name, row):
    """What is printed when a row is done."""
    for side, values in row["sides"].items():
        if is_memory(row):
            text = f"peak {values['peak_rss_mib']:.0f} MiB"
        else:
            low, middle, high = (1e3 * values[key] for key in ("p10_s", "median_s", "p90_s"))
            text = (f"{middle:.2f} ms [{low:.2f} .. {high:.2f}], "
                    f"{values['samples']} samples{', NOISY' if values['noisy'] else ''}")
        if side in row["ratio"]:
            ratio = row["ratio"][side]
            text += (f"; knlp needs {ratio['median']:.2f} of it" if is_memory(row) else
                     f"; knlp is {ratio['median']:.2f} times as fast [{ratio['low']:.2f} .. {ratio['high']:.2f}]")
            if side in row["goal"]:
                text += f", goal {goal(row, side)}"
        elif side != "knlp" and agreement(row, side):
            text += "; " + agreement(row, side)
        yield f"  {'PEAK' if is_memory(row) else 'TIME':<7} {name:<12} {side:<10} {text}"
    for side, verdict in row.get("loss", {}).items():
        if "max_delta" in verdict:
            yield (f"  LOSS    {name:<12} {side:<10} after {verdict['steps']} steps {verdict['knlp']:.4f} here, "
                   f"{verdict['rival']:.4f} there, at most {verdict['max_delta']:.2g} apart (limit {verdict['limit']:g})")
    for side, reason in row["missing"].items():
        yield f"  MISSING {name:<12} {side:<10} {reason}"


def significant(value):
    """Format of three digits for a number of milliseconds."""
    return ".2f" if value < 10 else ".1f" if value < 100 else ",.0f"


def cell(path, record, name, side):
    """Milliseconds or mebibytes of one side."""
    values = record["rows"][name]["sides"][side]
    base = f"/rows/{name}/sides/{side}"
    if "peak_rss_mib" in values:
        return figure(path, base + "/peak_rss_mib", ",.0f") + " MiB"
    noisy = " (noisy)" if values["noisy"] else ""
    return figure(path, base + "/median_s", "*1000 " + significant(1e3 * values["median_s"])) + " ms" + noisy


def table_lines(path, record):
    """One line for each rival of each row."""
    yield "| what | rival | knlp | rival's | times as fast (memory: part) | goal | losses apart |"
    yield "|---|---|---|---|---|---|---|"
    places = [row.name for row in ROWS]
    for name in sorted(record["rows"], key=lambda name: places.index(name) if name in places else len(places)):
        row = record["rows"][name]
        for rival in [side for side in RIVALS if side in row["sides"] or side in row["missing"]]:
            ours = cell(path, record, name, "knlp") if "knlp" in row["sides"] else ""
            if rival in row["missing"]:
                yield f"| {row['what']} | {RIVALS[rival]} | {ours} | missing: {row['missing'][rival]} | | {goal(row, rival)} | |"
                continue
            # Of why there is none, the numbers are no figures: how far the losses are apart has its own column.
            ratio, apart = agreement(row, rival).split(":")[0] or "not compared", ""
            if rival in row["ratio"]:
                ratio = figure(path, f"/rows/{name}/ratio/{rival}/median", ".2f")
            if "max_delta" in row.get("loss", {}).get(rival, {}):
                apart = figure(path, f"/rows/{name}/loss/{rival}/max_delta", ".1e")
            theirs = cell(path, record, name, rival)
            yield f"| {row['what']} | {RIVALS[rival]} | {ours} | {theirs} | {ratio} | {goal(row, rival)} | {apart} |"


def section(path, record):
    """Heading, machine and table of one machine's record."""
    torch = next((row["torch"] for row in record["rows"].values() if row.get("torch")), "")
    facts = machine_facts(record["machine"], record["threads"]) + ([f"PyTorch {torch.split('+')[0]}"] if torch else [])
    yield f"Measured on {', '.join(facts)}; {dates_of(record)}. Record: `{path}`."
    yield ""
    yield from table_lines(path, record)
    yield ""


def write_table():
    """Puts the tables of all records between the markers of docs/performance.md."""
    write_tables("peers", BEGIN, END, section)
