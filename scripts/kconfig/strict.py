"""The strict check: what a file asks for must be what the solver answers, else each difference is a
problem with its reason. Everything that reads a preset or a .config goes through resolve()."""

import tempfile

import kconfiglib

import aliases
import fragment
import reasons
import rules
import solver
import tree
from problems import ConfigError, Problem, note, shown


class Resolved:
    """TEXT is the complete .config; KCONF holds its values; REQUESTS are what was asked,
    translated."""

    def __init__(self, text, kconf, requests, notes):
        self.text, self.kconf, self.requests, self.notes = text, kconf, requests, notes


def with_values(kconf, text):
    """KCONF with the values of the .config TEXT."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="knlp-kconfig-") as config:
        config.write(text)
        config.flush()
        kconf.load_config(config.name)
    return kconf


def assignment(kconf, request):
    sym = kconf.syms[request.name]
    if sym.orig_type is kconfiglib.STRING:
        return f"CONFIG_{request.name}={tree.quoted(request.value)}"
    if sym.orig_type is kconfiglib.BOOL and request.value == "n":
        return f"# CONFIG_{request.name} is not set"
    return f"CONFIG_{request.name}={request.value}"


def check_pairs(requests, kconf):
    """Two lines that disagree: one symbol with two values, two members of one choice."""
    problems, first, chosen = [], {}, {}
    for request in requests:
        earlier = first.setdefault(request.name, request)
        if earlier is not request and earlier.value != request.value:
            problems.append(
                Problem(
                    "E_CONFLICT",
                    request.where,
                    f"{request.shown_name}={reasons.said(request)} contradicts line {earlier.line}, "
                    f"{earlier.shown_name}={reasons.said(earlier)}; keep one of them",
                )
            )
        choice = kconf.syms[request.name].choice
        if choice and request.value == "y":
            other = chosen.setdefault(choice, request)
            if other.name != request.name:
                problems.append(
                    Problem(
                        "E_CHOICE",
                        request.where,
                        f"{request.shown_name}=y and line {other.line}, "
                        f"{other.shown_name}=y, are two members of one choice "
                        f"({choice.nodes[0].prompt[0]}); keep one of them",
                    )
                )
    return problems


def compare(requests, kconf):
    refused = [r for r in requests if kconf.syms[r.name].str_value != r.value]
    wanted = {r.name for r in refused if r.value == "y"}

    def follows(request):  # from the refusal of a symbol above it, which has a line of its own
        sym = kconf.syms[request.name]
        above = {item.name for item in kconfiglib.expr_items(sym.direct_dep)}
        return sym.visibility == 0 and not wanted.isdisjoint(above - {sym.name})

    first = [r for r in refused if not follows(r)] or refused
    return [reasons.explain(r, kconf) for r in first]


def check_derived(derived, kconf):
    """Derived names must agree with what they derive from."""
    problems = []
    for request, primary in derived:
        if primary and kconf.syms[primary].str_value != "y":
            problems.append(
                Problem(
                    "E_CONFLICT",
                    request.where,
                    f"CONFIG_{request.said}={reasons.said(request)} says what CONFIG_{primary}=y "
                    f"means, but {primary} is off; set CONFIG_{primary}=y or delete the line",
                )
            )
    return problems


def multiply(products, requests, kconf, problems):
    """Requests for the products of the alias table, whose factor the other lines decide."""
    lines = [assignment(kconf, r) for r in requests]
    out, notes = [], []
    for request, name, factor in products:
        if not reasons.INTEGER.fullmatch(request.value) or request.quoted:
            problems.append(
                Problem(
                    "E_TYPE",
                    request.where,
                    f"CONFIG_{request.said}={reasons.said(request)} is not a " "whole number",
                )
            )
            continue
        by = int(with_values(kconf, solver.solve(lines)).syms[factor].str_value or 0)
        value = str(int(request.value) * by)
        out.append(request.renamed(name, value))
        notes.append(
            f"{request.where}: CONFIG_{request.said}={request.value} is now "
            f"CONFIG_{name}={value} (times {factor} {by})"
        )
    return out, notes


def resolve(path, preset, solve=solver.solve):
    """Checks the file and gives the complete configuration it means.

    preset  a fragment of user-settable symbols; else a complete .config, whose lines for symbols
            without prompt may stand.
    solve   makes a complete .config of assignments; what these do not name is its business.
    Throws ConfigError with every problem found, one line each."""
    requests, problems = fragment.read(path)
    kconf = tree.load()
    names = {sym.name for sym in tree.ordered_symbols(kconf)}
    translated = aliases.translate(requests, names)
    problems += translated.problems
    good = []
    for request in translated.requests:
        problem = reasons.check_line(request, kconf, names, preset)
        if problem:
            problems.append(problem)
        elif tree.settable(kconf.syms[request.name]):
            good.append(request)
    notes = list(translated.notes)
    if translated.products:
        extra, more = multiply(translated.products, unique(good, kconf), kconf, problems)
        good, notes = good + extra, notes + more
    problems += check_pairs(good, kconf)
    asked = unique(good, kconf)
    text = solve([assignment(kconf, r) for r in asked])
    with_values(kconf, text)
    problems += compare(asked, kconf) + check_derived(translated.derived, kconf)
    # Numbers are compared once each of them is one.
    problems = problems or rules.check(kconf, asked)
    if problems:
        raise ConfigError(sorted(problems, key=line_of))
    return Resolved(text, kconf, asked, notes)


def unique(requests, kconf):
    """The first request of each symbol, and of the members of a choice that are on: what the solver
    takes without a warning. Contradictions are reported by check_pairs."""
    names, choices, out = set(), set(), []
    for request in requests:
        choice = kconf.syms[request.name].choice if request.value == "y" else None
        if request.name in names or choice in choices:
            continue
        names.add(request.name)
        if choice:
            choices.add(choice)
        out.append(request)
    return out


def line_of(problem):
    tail = problem.where.rsplit(":", 1)[-1]
    return int(tail) if tail.isdigit() else 0


def new_symbols(resolved):
    """Names that have a prompt the user could see and no line in the file."""
    there = {request.name for request in resolved.requests}
    return [
        s.name
        for s in tree.ordered_symbols(resolved.kconf)
        if tree.settable(s)
        and s.visibility
        and s.name not in there
        and not (s.choice and s.choice.selection and s.choice.selection.name in there)
    ]


def check_dot_config(path):
    """resolve() for a .config, with one line for what is new since it was written."""
    resolved = resolve(path, preset=False)
    for text in resolved.notes:
        note(text)
    fresh = new_symbols(resolved)
    if fresh:
        some = ", ".join(fresh[:4]) + (", …" if len(fresh) > 4 else "")
        what = (
            "1 new symbol takes its default"
            if len(fresh) == 1
            else f"{len(fresh)} new symbols take their defaults"
        )
        note(f"{shown(path)}: {what} ({some}); make olddefconfig writes them down")
    return resolved
