"""Lint of presets, retired presets and the alias table."""

import os

import aliases
import defconfig
import presets
import solver
import strict
import tree
from problems import ConfigError


def check_preset(name):
    """Loads cleanly, without a note, is in the form savedefconfig writes, and says its purpose."""
    path = os.path.join(presets.directory(), name)
    shown = f"{presets.DIRECTORY}/{name}"
    try:
        resolved = strict.resolve(path, preset=True)
    except ConfigError as error:
        return [p.without_code() for p in error.problems]
    out = [f"{shown}: loads with a note: {text}" for text in resolved.notes]
    head = presets.header(path)
    with open(path, encoding="utf-8") as source:
        text = source.read()
    lines = defconfig.minimal(resolved.text)
    if head + lines != text:
        out.append(
            f"{shown}: not as savedefconfig writes it; run make defconfig-{name} && "
            f"make savedefconfig DEFCONFIG={name} FORCE=1"
        )
    if solver.solve(lines.splitlines()) != resolved.text:
        out.append(f"{shown}: its saved form loads to another .config")
    purpose = presets.purpose(path)
    if (
        not head
        or not purpose
        or len(purpose) > presets.MAX_PURPOSE
        or purpose == defconfig.NO_PURPOSE
    ):
        out.append(
            f"{shown}:1: the first line must say in at most {presets.MAX_PURPOSE} characters what "
            "the preset is for"
        )
    return out


def check_retired():
    out, names = [], presets.names()
    for name, (reason, instead) in presets.retired().items():
        if name in names:
            out.append(f"{presets.DIRECTORY}/RETIRED: {name} is a preset as well")
        if instead not in names or not reason:
            out.append(
                f"{presets.DIRECTORY}/RETIRED: {name}: nearest preset '{instead}' does not exist"
            )
    return out


def check_aliases(kconf):
    """Targets exist or are named as absent; no row hides behind a symbol of the tree."""
    rows, out = aliases.read_rows(), []
    names = {s.name for s in tree.ordered_symbols(kconf)}
    for row in rows:
        where = f"scripts/kconfig/aliases:{row.line}"
        if row.kind == "rename":
            fits = (
                (lambda name, head=row.rest[0].split("*")[0]: name.startswith(head))
                if "*" in row.old
                else (lambda name, target=row.rest[0]: name == target)
            )
            others = [r for r in rows if r is not row]
            if not any(fits(n) for n in names) and not any(
                fits(r.old) or r.matches(row.rest[0]) for r in others
            ):
                out.append(
                    f"{where}: {row.rest[0]} is neither a symbol nor the name of another row"
                )
        elif row.kind in ("value", "derived") and row.rest[1] != "-":
            if row.rest[1].split("=", 1)[0] not in names:
                out.append(f"{where}: {row.rest[1]} is no symbol")
        elif row.kind == "product" and not {row.rest[0], row.rest[1]} <= names:
            out.append(f"{where}: {' or '.join(row.rest[:2])} is no symbol")
        if "*" not in row.old and row.old in names:
            out.append(f"{where}: {row.old} is a symbol of the tree, so this row is never used")
    return out


def check(kconf):
    out = [text for name in presets.names() for text in check_preset(name)]
    return out + check_retired() + check_aliases(kconf)
