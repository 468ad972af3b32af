"""Results of `make bench-goals` as lines for people and as the tables of docs/performance.md."""
from goal_rows import ROWS
from record_file import dates_of, figure, machine_facts, write_tables

BEGIN, END = "<!-- goals: begin, written by make bench-goals RECORD=1 -->", "<!-- goals: end -->"
STEP_BEGIN, STEP_END = "<!-- step: begin, written by make bench-goals RECORD=1 -->", "<!-- step: end -->"
STEP_ROWS = ("step-256-fp32", "step-256-bf16", "step-nano")
GROUPS = {"linear_forward": "linear layers, forward", "linear_input": "linear layers, gradient of the input",
          "linear_weight": "linear layers, gradient of the weight", "attention": "attention",
          "norm": "norm and residual", "activation": "activation", "embedding": "embedding",
          "head": "head and loss", "optimizer": "optimizer", "data": "data", "other": "other"}


def notes(record, reason=True):
    """Why a value should not be trusted, in brackets; without the reason, as its numbers are of no row."""
    words = ["noisy"] if record["noisy"] else []
    if not record["valid"]:
        words.append(f"INVALID: {record['invalid_reason']}" if reason else "INVALID")
    return f" ({'; '.join(words)})" if words else ""


def lines_of_row(row, records):
    """What is printed when a row is done."""
    yield f"  GOALS   {row.name}: {row.label}"
    for item in row.figures:
        value = item.value(records)
        if value is None:
            yield f"          {item.label}: not in knlp's record"
            continue
        factor, _, form = item.form.rpartition(" ")
        shown = format(value * (float(factor[1:]) if factor else 1), form)
        goal = f", goal {item.goal()}: {item.verdict(value)}" if item.goal() else ""
        yield f"          {item.label}: {shown}{' ' + item.unit if item.unit else ''}{goal}{notes(records[item.what])}"


def measured_on(path, record):
    return (f"Measured on {', '.join(machine_facts(record['machine'], record['threads']))}; {dates_of(record)}. "
            f"Record: `{path}`.")


def section(path, record):
    """Machine and table of one machine's record."""
    yield measured_on(path, record)
    yield ""
    yield "| what | measured | goal |"
    yield "|---|---|---|"
    for row in ROWS:
        records = record["rows"].get(row.name, {}).get("records", {})
        for item in row.figures:
            value = item.value(records)
            if value is None:
                continue
            shown = figure(path, item.pointer(row.name), item.form)
            goal = f"{item.goal()}: {item.verdict(value)}" if item.goal() else ""
            yield (f"| {row.label}: {item.label} | {shown}{' ' + item.unit if item.unit else ''}"
                   f"{notes(records[item.what], reason=False)} | {goal} |")
    yield ""


def step_cells(path, row, place, group):
    """Milliseconds, share, GFLOP/s, megabytes and share of the roof of one group."""
    base = f"/rows/{row}/records/step/details/groups/{place}"
    yield figure(path, base + "/ms", ",.1f")
    yield figure(path, base + "/share", "*100 .1f") + " %"
    yield figure(path, base + "/gflops", ",.0f") if group["gflops"] else "–"
    yield figure(path, base + "/bytes", "*1e-6 ,.0f") if group["bytes"] else "–"
    roof = figure(path, base + "/roof_share", "*100 .0f") + " %" if group["roof_share"] else "–"
    yield roof + (f", {group['limit']}" if group["limit"] else "")


def step_section(path, record):
    """Where the time of a step goes, as far as the record has it."""
    labels = {row.name: row.label for row in ROWS}
    for row in STEP_ROWS:
        step = record["rows"].get(row, {}).get("records", {}).get("step", {})
        if not step.get("details"):
            continue
        base = f"/rows/{row}/records/step/details"
        yield (f"{labels[row]}, {', '.join(machine_facts(record['machine'], record['threads']))}: "
               f"{figure(path, base + '/step_ms', ',.1f')} ms; its groups add up to "
               f"{figure(path, base + '/sum_over_step', '*100 .1f')} % of it. Record: `{path}`.")
        yield ""
        yield "| group | ms | share | GFLOP/s | MB moved | of the roof |"
        yield "|---|---|---|---|---|---|"
        for place, group in enumerate(step["details"]["groups"]):
            if group["ms"] > 0:
                cells = " | ".join(step_cells(path, row, place, group))
                yield f"| {GROUPS.get(group['group'], group['group'])} | {cells} |"
        yield ""


def write_goals():
    """Puts the tables of all records between the markers of docs/performance.md."""
    write_tables("goals", BEGIN, END, section)
    write_tables("goals", STEP_BEGIN, STEP_END, step_section)
