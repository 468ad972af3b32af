"""Lint of the Kconfig files themselves: definitions, references, help, types, the lists."""

import os
import re

import kconfiglib

import semantic
import tree

NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]+")
SENTENCE = re.compile(r"[.!?](?=\s|$)")


def problem(node, text):
    return f"{tree.location(node)}: {text}"


def references(expr):
    return kconfiglib.expr_items(expr)


def undefined(kconf):
    """Names that expressions use and nobody defines; numbers are no names."""
    found = []
    for sym in kconf.syms.values():
        if (
            not sym.nodes
            and not NUMBER.fullmatch(sym.name)
            and sym.name not in ("n", "m", "y", "MODULES")
        ):
            users = [
                s.name
                for s in tree.ordered_symbols(kconf)
                if any(sym in references(e) for e in expressions(s))
            ]
            found.append(
                f"Kconfig: {sym.name} is used by {', '.join(users) or 'a menu'} but defined nowhere"
            )
    return found


def expressions(sym):
    """Every expression that a symbol's definition holds."""
    out = [sym.direct_dep]
    for value, condition in sym.defaults + sym.selects + sym.implies:
        out += [value, condition]
    for low, high, condition in sym.ranges:
        out += [low, high, condition]
    return out + [node.prompt[1] for node in sym.nodes if node.prompt]


def definition(sym):
    """Problems of one symbol's own definition."""
    node, out = sym.nodes[0], []
    if len(sym.nodes) > 1:
        places = ", ".join(tree.location(n) for n in sym.nodes)
        out.append(problem(node, f"{sym.name} is defined more than once: {places}"))
    kind = tree.TYPES.get(sym.orig_type)
    if kind not in ("bool", "int", "string", "hex"):
        out.append(problem(node, f"{sym.name} has no type we use (bool, int, hex, string)"))
    if kind in ("int", "hex") and not (sym.ranges and sym.defaults):
        out.append(problem(node, f"{sym.name} needs a range and a default"))
    if kind == "string" and tree.settable(sym) and not sym.defaults:
        out.append(problem(node, f"{sym.name} needs a default"))
    for target, _ in sym.selects:
        if target.nodes and target.direct_dep is not target.kconfig.y:
            out.append(
                problem(
                    node, f"{sym.name} selects {target.name}, which has dependencies of its own"
                )
            )
    return out + check_types(sym, node, kind)


def check_types(sym, node, kind):
    """The `Type:` line is known, is where a string needs one, and fits the defaults."""
    out, wanted = [], tree.semantic(sym)
    if wanted and (kind != "string" or not semantic.known(wanted)):
        out.append(problem(node, f"{sym.name}: Type: {wanted} is not known for a {kind}"))
    elif kind == "string" and tree.settable(sym) and not wanted:
        out.append(problem(node, f"{sym.name} needs a line Type: in its help"))
    elif wanted:
        for value, _ in sym.defaults:
            if value.is_constant and semantic.check(wanted, value.name):
                out.append(problem(node, f"{sym.name}: default \"{value.name}\" is not {wanted}"))
    return out


def check_help(item, name):
    node = item.nodes[0]
    text = re.sub(r"^\s*Type:.*$", "", node.help or "", flags=re.MULTILINE).strip()
    if len(SENTENCE.findall(text)) < 2:
        return [
            problem(node, f"{name} needs help of two sentences or more: effect and typical values")
        ]
    return []


def check_lists(kconf):
    """The lists name symbols of the tree; what is built depends on build symbols only."""
    out, build = [], tree.read_list("buildtime.list")
    for name in ("buildtime.list", "resume-free.list", "budget.list"):
        listed = tree.read_list(name)
        unknown = [n for n in listed if n not in kconf.syms or not kconf.syms[n].nodes]
        out += [f"scripts/kconfig/{name}: {n} is no symbol" for n in unknown]
        out += [
            f"scripts/kconfig/{name}: {n} is listed twice"
            for n in set(listed)
            if listed.count(n) > 1
        ]
    free = tree.read_list("resume-free.list")
    out += [
        f"scripts/kconfig/budget.list: {n} is not on resume-free.list, where budgets are too"
        for n in tree.read_list("budget.list")
        if n not in free
    ]
    for name in (n for n in build if n in kconf.syms):
        sym = kconf.syms[name]
        used = set().union(*(references(e) for e in expressions(sym)))
        for other in used:
            if (
                isinstance(other, kconfiglib.Symbol)
                and other.nodes
                and other.name not in build
                and not tree.is_env(other)
            ):
                out.append(
                    problem(
                        sym.nodes[0],
                        f"{name} is a build symbol but depends on {other.name}, " "which is none",
                    )
                )
        if sym.choice and any(s.name not in build for s in sym.choice.syms):
            out.append(
                problem(
                    sym.nodes[0], f"{name} is a build symbol, other members of its choice are not"
                )
            )
    return out


def check_sources(root):
    """Each Kconfig file is sourced exactly once."""
    files, sourced = [], []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in (".git", "build", "results", "data")]
        if "Kconfig" in names:
            files.append(os.path.relpath(os.path.join(folder, "Kconfig"), root))
    for path in files:
        with open(os.path.join(root, path), encoding="utf-8") as text:
            sourced += re.findall(r'^\s*source\s+"([^"]+)"', text.read(), re.MULTILINE)
    return [
        f"{path}: sourced {sourced.count(path)} times, not once"
        for path in files
        if path != "Kconfig" and sourced.count(path) != 1
    ]


def check(kconf, root):
    out = [f"Kconfig: {w.strip()}" for w in kconf.warnings]
    out += undefined(kconf) + check_lists(kconf) + check_sources(root)
    for sym in tree.ordered_symbols(kconf):
        out += definition(sym)
        if tree.settable(sym):
            out += check_help(sym, sym.name)
    for choice in kconf.unique_choices:
        out += check_help(choice, f"choice {tree.choice_name(choice)}")
    return out
