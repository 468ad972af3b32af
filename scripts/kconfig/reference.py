#!/usr/bin/python3
"""Writes the configuration reference from the Kconfig files.

usage: reference.py FILE"""

import os
import re

import kconfiglib

import files
import tree
from problems import fail, run

PAGE = "docs/config-reference.md"
HEAD = """# Configuration reference

Written by `make docs-config` from the Kconfig files; do not edit. How configuration works is
described in [configuration.md](configuration.md). *Build* symbols decide what is compiled; all
others are read when the binary starts, so changing them compiles nothing. """


def menus(node, depth, kconf, out):
    """Appends the page's text for the children of NODE."""
    while node:
        if node.item is kconfiglib.MENU and node.prompt:
            out.append(f"\n{'#' * min(depth, 4)} {node.prompt[0]}\n")
            menus(node.list, depth + 1, kconf, out)
        elif isinstance(node.item, kconfiglib.Choice):
            choice_text(node, kconf, out)
            menus(node.list, depth, kconf, out)
        elif isinstance(node.item, kconfiglib.Symbol):
            if node.prompt and not tree.is_env(node.item):
                symbol_text(node, kconf, out)
            menus(node.list, depth, kconf, out)
        elif node.list:
            menus(node.list, depth, kconf, out)
        node = node.next


def choice_text(node, kconf, out):
    members = ", ".join(f"`{s.name}`" for s in node.item.syms)
    out.append(
        f"\n**{node.prompt[0]}** — one of {members}{depends(node, kconf)}.\n{prose(node.help)}\n"
    )


def symbol_text(node, kconf, out):
    sym = node.item
    facts = [tree.semantic(sym) or tree.TYPES[sym.orig_type]]
    for low, high, _ in node.orig_ranges:
        facts.append(f"{low.str_value} to {high.str_value}")
    facts += (
        []
        if sym.choice
        else [default_text(value, condition, kconf) for value, condition in node.orig_defaults]
    )
    if sym.choice and sym.choice.defaults and sym.choice.defaults[0][0] is sym:
        facts.append("the default")
    if sym.name in tree.read_list("buildtime.list"):
        facts.append("build")
    out.append(
        f"\n`{sym.name}` ({'; '.join(facts)}{depends(node, kconf)}): *{node.prompt[0]}.*\n"
        f"{prose(node.help)}\n"
    )


def default_text(value, condition, kconf):
    when = tree.expr_text(condition, kconf)
    return f"default `{tree.expression(value)}`" + (f" if `{when}`" if when else "")


def depends(node, kconf):
    text = tree.expr_text(node.prompt[1], kconf)
    return f"; depends on `{text}`" if text else ""


def prose(help_text):
    kept = [
        line for line in (help_text or "").strip().splitlines() if not re.match(r"\s*Type:", line)
    ]
    return "\n".join(line.rstrip() for line in kept)


def page():
    kconf, out = tree.load(), [HEAD]
    menus(kconf.top_node.list, 2, kconf, out)
    return "".join(out)


def stale(root):
    """A finding when the page in the tree is not what page() gives."""
    try:
        with open(os.path.join(root, PAGE), encoding="utf-8") as source:
            if source.read() == page():
                return []
    except FileNotFoundError:
        return [f"{PAGE}: missing; run make docs-config"]
    return [f"{PAGE}: not up to date; run make docs-config"]


def main(argv):
    if len(argv) != 1:
        fail("E_USAGE", "", "usage: reference.py FILE")
    files.write_if_changed(argv[0], page())
    return 0


if __name__ == "__main__":
    run(main)
