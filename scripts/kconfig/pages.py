#!/usr/bin/python3
"""Writes the pages of docs/ that follow from presets, aliases and what is not carried.

usage: pages.py DIRECTORY"""

import os
import re

import aliases
import files
import presets
import strict
import tree
from problems import fail, listed, run

DATASETS = {
    "LINUXDOC": "kernel documentation",
    "SHAKESPEARE": "tiny Shakespeare",
    "TINYSTORIES": "TinyStories",
    "FINEWEBEDU": "FineWeb-Edu",
    "OPENWEBTEXT": "OpenWebText",
    "SYNTHETIC": "synthetic text",
    "CUSTOM": "your own",
}
TOKENIZERS = {"BYTE": "bytes", "CHAR": "characters", "BPE_TRAINED": "", "GPT2": "GPT-2's BPE"}
OPTIMIZERS = {"ADAMW": "AdamW", "ADAMWSPAM": "AdamWSPAM"}
SMALL = ("NANO", "CUSTOM")

DEFCONFIGS = """# Presets

Written by `make docs-config` from the files in `defconfigs/`; do not edit. `make defconfig-NAME` takes one,
`make menuconfig` changes it, `make` runs it; `make list-defconfigs` is the short form of this page.
How to make one of your own: [configuration.md](configuration.md).

<!-- no-ledger: what is set, not what came of it -->
| preset | purpose |
|---|---|
"""
PORTING = """# Coming from the Python project

Written by `make docs-config` from `scripts/kconfig/aliases`, `scripts/make/absent.list` and
`defconfigs/RETIRED`; do not edit.

## Commands

| there | here |
|---|---|
| `make defconfig-gpt2-vanilla-baseline`, then `make` | the same |
| `make menuconfig`, `nconfig`, `oldconfig`, `savedefconfig`, `list-defconfigs` | the same |
| `make check` | the same, and it changes nothing of yours |
| `make continue` | the same: to the same bits as if it had not been stopped |
| `make deps` | the same as `make setup`; nothing else installs or downloads |
| `GPT2_MAX_TIME=600 make` | `make TIME=600`; any symbol: `make SET="SYMBOL=value"` |
| `training_metrics.json` | `summary.json` and `metrics.jsonl` of the run directory |
| W&B, Trackio | `TRACKER=trackio,wandb`: [tracking.md](tracking.md) |

Targets and variables of make that are not here; make itself answers with the same words:

<!-- no-ledger: names -->
| there | here |
|---|---|
{absent}
## Presets and configurations

`make import-defconfig FILE=old NAME=new` translates a preset: names below become ours, what has no meaning
here is left out with a note, and what would be something else is an error. A preset taken as it is
(`make defconfig-NAME`) and a `.config` are read with the same table.

What behaves differently on purpose: an unknown or impossible value is an error instead of being dropped;
`SEED` is 1 unless set; the vocabulary is not padded; the order of data depends on seed and step alone;
missing data stops the run unless the preset allows a substitute.

The new name of one table can be an old name of another, where its feature is not in this version.

"""


def values(name):
    """Symbol -> value of a preset, strings without their quotes."""
    text = strict.resolve(os.path.join(presets.directory(), name), preset=True).text
    pairs = re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.M)
    return {key: value.strip('"') for key, value in pairs}


def chosen(symbols, prefix, names):
    return next(name for name in names if symbols.get(prefix + name) == "y")


def count(number):
    return f"{int(number):,}"


def duration(seconds):
    hours = seconds / 3600
    return f"{hours:g} h" if hours >= 1 else f"{seconds / 60:g} min"


def model(symbols):
    if symbols.get("GPT2_MODEL_CUSTOM") == "y":
        size = "{GPT2_N_LAYER} layers, {GPT2_N_HEAD} heads, width {GPT2_N_EMBD}".format(**symbols)
    else:
        size = next(
            key.removeprefix("GPT2_MODEL_")
            for key, value in symbols.items()
            if re.fullmatch(r"GPT2_MODEL_[A-Z0-9]+", key) and value == "y"
        )
        size = size if size[0].isdigit() else size.lower()
    precision = "bfloat16" if symbols.get("MIXED_PRECISION") == "y" else "float32"
    return f"{size}, context {count(symbols['GPT2_BLOCK_SIZE'])}, {precision}"


def data(symbols):
    dataset, tokenizer = (
        chosen(symbols, "GPT2_DATASET_", DATASETS),
        chosen(symbols, "GPT2_TOKENIZER_", TOKENIZERS),
    )
    pieces = TOKENIZERS[tokenizer]
    if tokenizer == "BPE_TRAINED":
        pieces = f"a BPE of {count(symbols['GPT2_BPE_VOCAB'])} trained on it"
    return f"{DATASETS[dataset]}, {pieces}"


def budget(symbols):
    parts = []
    if int(symbols.get("GPT2_MAX_ITERS", 0)) > 0:
        parts.append(f"{count(symbols['GPT2_MAX_ITERS'])} steps")
    if int(symbols.get("GPT2_MAX_TOKENS", 0)) > 0:
        parts.append(f"{count(symbols['GPT2_MAX_TOKENS'])} tokens")
    if int(symbols.get("GPT2_MAX_TIME", 0)) > 0:
        parts.append(duration(int(symbols["GPT2_MAX_TIME"])))
    if symbols.get("HYPER_PARAM_AUTO") == "y":
        rows = symbols["TARGET_EFFECTIVE_BATCH"]
    else:
        rows = int(symbols["BATCH_SIZE"]) * int(symbols["GRADIENT_ACCUMULATION"])
    return f"{listed(parts)}, {rows} sequences a step"


def needs(symbols):
    """What has to be there beyond what set-up installs."""
    dataset = chosen(symbols, "GPT2_DATASET_", DATASETS)
    wanted = []
    if symbols.get("DATA_SUBSTITUTE") == "y":
        wanted.append("nothing: without its data it takes the kernel documentation, and says so")
    elif dataset not in ("LINUXDOC", "SYNTHETIC"):
        wanted.append(f"`knlp data import --name {dataset.lower()}` first")
    elif symbols.get("DATA_SYNTHETIC_FALLBACK") == "y":
        wanted.append("nothing: without `linux-doc` it makes its text")
    if not any(symbols.get(f"GPT2_MODEL_{size}") == "y" for size in SMALL):
        wanted.append("a GPU for its budget to be enough")
    return "; ".join(wanted) or "nothing"


def optimizers(symbols):
    if symbols.get("OPTIMIZER_MODE_MULTIPLE") == "y":
        return listed(
            [OPTIMIZERS[o] for o in OPTIMIZERS if symbols.get(f"OPTIMIZER_ENABLE_{o}") == "y"], "and"
        )
    return OPTIMIZERS[chosen(symbols, "OPTIMIZER_SELECT_", OPTIMIZERS)]


def defconfigs():
    out, details = [DEFCONFIGS], []
    for name in presets.names():
        symbols = values(name)
        optimizer = optimizers(symbols)
        out.append(f"| `{name}` | {presets.purpose(os.path.join(presets.directory(), name))} |\n")
        details.append(
            f"| `{name}` | {model(symbols)} | {data(symbols)} | {optimizer}, learning rate "
            f"{symbols['LEARNING_RATE']} | {budget(symbols)} | {needs(symbols)} |\n"
        )
    out.append("\n<!-- no-ledger: what is set, not what came of it -->\n")
    out.append("| preset | model | data | optimizer | budget | needs |\n|---|---|---|---|---|---|\n")
    return "".join(out + details)


def absent():
    """Rows of scripts/make/absent.list: what make says of targets and variables known elsewhere."""
    out = []
    with open(os.path.join(tree.ROOT, "scripts/make/absent.list"), encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, answer = line.split(None, 1)
                out.append(f"| `{name}` | {answer.strip()} |\n")
    return "".join(out)


def becomes(row):
    """What the table does with a name, in words."""
    if row.kind == "rename":
        return f"`{row.rest[0]}`"
    if row.kind == "value":
        said = row.rest[1] if len(row.rest) > 1 else "-"
        return "left out: it is so" if said == "-" else f"`{said}`"
    if row.kind == "product":
        return f"`{row.rest[0]}`, times `{row.rest[1]}`"
    if row.kind == "derived":
        return "left out" if row.rest[1] == "-" else f"left out: follows from `{row.rest[1]}`"
    return row.reason


TITLES = (
    ("rename value product", "Renamed", "here"),
    ("derived", "Derived from others", "what becomes of it"),
    ("ignored", "Left out with a note", "why"),
    ("absent refused", "Not in this version: an error when switched on", "what it belongs to"),
)


def porting():
    out, rows = [PORTING.replace("{absent}", absent())], aliases.read_rows()
    for kinds, title, column in TITLES:
        out.append(f"### {title}\n\n| name | {column} |\n|---|---|\n")
        for row in rows:
            if row.kind in kinds.split():
                value = row.rest[0] if row.kind in ("value", "derived") else None
                name = row.old + (f"={value}" if value is not None else "")
                out.append(f"| `{name}` | {becomes(row)} |\n")
        out.append("\n")
    out.append("## Retired presets\n\n| preset | why | nearest |\n|---|---|---|\n")
    for name, (reason, instead) in presets.retired().items():
        out.append(f"| `{name}` | {reason} | `{instead}` |\n")
    return "".join(out)


PAGES = {"defconfigs.md": defconfigs, "porting-from-upstream.md": porting}


def stale(root):
    """Findings for pages in the tree that are not what these functions give."""
    out = []
    for name, page in PAGES.items():
        path = os.path.join(root, "docs", name)
        if not os.path.exists(path):
            out.append(f"docs/{name}: missing; run make docs-config")
            continue
        with open(path, encoding="utf-8") as source:
            if source.read() != page():
                out.append(f"docs/{name}: not up to date; run make docs-config")
    return out


def main(argv):
    if len(argv) != 1:
        fail("E_USAGE", "", "usage: pages.py DIRECTORY")
    for name, page in PAGES.items():
        files.write_if_changed(os.path.join(argv[0], name), page())
    return 0


if __name__ == "__main__":
    run(main)
