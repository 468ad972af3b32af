"""The strict check: what a file asks for must be what the solver answers, else each difference is a
problem with its reason. Everything that reads a preset or a .config goes through resolve()."""

import re
import tempfile

import kconfiglib

import aliases
import fragment
import semantic
import solver
import tree
from problems import ConfigError, Problem, listed, nearest, note, shown

INTEGER = re.compile(r"0|-?[1-9][0-9]*")
ZEROS = re.compile(r"-?0+[0-9]+")
HEX = re.compile(r"0[xX][0-9a-fA-F]+")


class Resolved:
    """TEXT is the complete .config; KCONF holds its values; REQUESTS are what was asked, translated."""

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


# --- What can be said of one line without solving

def check_name(request, kconf, names):
    if request.name in names:
        return None
    close = listed(nearest(request.name, [n for n in names if tree.settable(kconf.syms[n])]))
    return Problem("E_UNKNOWN_SYMBOL", request.where,
                   f"{request.shown_name} is not a symbol of this version; did you mean {close}?; "
                   "correct or delete the line")


def check_form(request, sym):
    """A problem when the value has not the form of its symbol's type."""
    name, value = f"CONFIG_{request.name}", request.value
    if sym.orig_type is kconfiglib.STRING:
        if not request.quoted:
            return Problem("E_SYNTAX", request.where,
                           f"{request.shown_name} is a string and {value or 'nothing'} has no quotes; "
                           f"write: {name}={tree.quoted(value)}")
        return None
    if sym.orig_type is kconfiglib.BOOL:
        if request.quoted or value not in ("y", "n"):
            guess = "y" if value.lower() in ("y", "yes", "1", "true", "on", "m") else "n"
            return Problem("E_TYPE", request.where, f"{request.shown_name}={said(request)} is neither y "
                           f"nor n; write: {name}={guess}")
        return None
    form, what = (HEX, "a number such as 0xff") if sym.orig_type is kconfiglib.HEX else \
                 (INTEGER, "a whole number")
    if not request.quoted and form.fullmatch(value):
        return None
    better = value.lstrip("+")
    if ZEROS.fullmatch(better):
        better = str(int(better))
    fix = f"; write: {name}={better}" if form.fullmatch(better) else range_hint(sym, "; give one in {}")
    return Problem("E_TYPE", request.where, f"{request.shown_name}={said(request)} is not {what}{fix}")


def said(request):
    return tree.quoted(request.value) if request.quoted else request.value or "(nothing)"


def range_hint(sym, form):
    limits = active_range(sym)
    return form.format(f"{limits[0]}..{limits[1]}") if limits else ""


def active_range(sym):
    for low, high, condition in sym.ranges:
        if kconfiglib.expr_value(condition):
            return low.str_value, high.str_value
    if sym.ranges:
        low, high, _ = sym.ranges[0]
        return low.str_value, high.str_value
    return None


def check_semantic(request, sym):
    kind = tree.semantic(sym)
    found = semantic.check(kind, request.value) if kind else None
    if not found:
        return None
    code, text = found
    return Problem(code, request.where, f"{request.shown_name}={said(request)} {text}; correct the value")


def check_line(request, kconf, names, preset):
    """Problem of one line by itself, or None."""
    problem = check_name(request, kconf, names)
    if problem:
        return problem
    sym = kconf.syms[request.name]
    if not tree.settable(sym):
        if preset or tree.is_env(sym):
            return Problem("E_NOT_SETTABLE", request.where, f"{request.shown_name} is not user-settable: "
                           "it follows from other symbols or from the machine; delete the line")
        return None
    return check_form(request, sym) or check_semantic(request, sym)


def check_pairs(requests, kconf):
    """Two lines that disagree: one symbol with two values, two members of one choice."""
    problems, first, chosen = [], {}, {}
    for request in requests:
        earlier = first.setdefault(request.name, request)
        if earlier is not request and earlier.value != request.value:
            problems.append(Problem("E_CONFLICT", request.where,
                                    f"{request.shown_name}={said(request)} contradicts line {earlier.line}, "
                                    f"{earlier.shown_name}={said(earlier)}; keep one of them"))
        choice = kconf.syms[request.name].choice
        if choice and request.value == "y":
            other = chosen.setdefault(choice, request)
            if other.name != request.name:
                problems.append(Problem("E_CHOICE", request.where,
                                        f"{request.shown_name}=y and line {other.line}, "
                                        f"{other.shown_name}=y, are two members of one choice "
                                        f"({choice.nodes[0].prompt[0]}); keep one of them"))
    return problems


# --- Why the solver answered something else

def failing(expr):
    """The operands on which EXPR fails, with their values, as text."""
    if isinstance(expr, tuple) and expr[0] in (kconfiglib.AND, kconfiglib.OR):
        parts = [failing(e) for e in expr[1:] if not kconfiglib.expr_value(e)]
        return (" and " if expr[0] is kconfiglib.AND else " or ").join(dict.fromkeys(filter(None, parts)))
    if kconfiglib.expr_value(expr):
        return ""
    if isinstance(expr, tuple) and expr[0] is kconfiglib.NOT:
        return f"{tree.item_text(expr[1])} is {expr[1].str_value}" if not isinstance(expr[1], tuple) \
            else "the negated part holds"
    if isinstance(expr, tuple):
        return f"{tree.item_text(expr[1])} is {expr[1].str_value or 'empty'}"
    return f"{expr.name} is {expr.str_value or 'empty'}"


def remedy(expr):
    """What would make a simple conjunction hold, as text, or ""."""
    if isinstance(expr, tuple) and expr[0] is kconfiglib.AND:
        return " and ".join(dict.fromkeys(filter(None, (remedy(e) for e in expr[1:]))))
    if kconfiglib.expr_value(expr):
        return ""
    if isinstance(expr, tuple) and expr[0] is kconfiglib.OR:
        return " or ".join(dict.fromkeys(filter(None, (remedy(e) for e in expr[1:]))))
    if isinstance(expr, tuple):
        return ""
    if getattr(expr, "name", "") == "HAVE_CUDA_TOOLKIT":
        return "install the CUDA toolkit or name its compiler with NVCC=PATH"
    return f"set CONFIG_{expr.name}=y" if isinstance(expr, kconfiglib.Symbol) and tree.settable(expr) else ""


def dependency(request, sym, kconf):
    """The problem of a symbol that is not visible."""
    conditions = [node.prompt[1] for node in sym.nodes if node.prompt]
    if sym.choice:
        conditions += [node.prompt[1] for node in sym.choice.nodes if node.prompt]
    expr = next((c for c in conditions if not kconfiglib.expr_value(c)), sym.direct_dep)
    expr = tree.simplified(expr, kconf.y)
    fix = remedy(expr)
    return Problem("E_DEPENDS", request.where,
                   f"{request.shown_name}={said(request)} depends on {tree.expr_text(expr, kconf)}, but "
                   f"{failing(expr)}; {fix + ' or ' if fix else ''}delete the line")


def answer(sym):
    """The solver's value: "n" for a bool that is off, "" for others without a value."""
    return sym.str_value


def explain(request, kconf):
    """Why the answer differs from REQUEST."""
    sym = kconf.syms[request.name]
    got = answer(sym)
    if not tree.settable(sym):
        return Problem("E_NOT_SETTABLE", request.where,
                       f"{request.shown_name}={said(request)} is not user-settable and follows to {got} here; "
                       "delete the line")
    if sym.visibility == 0:
        return dependency(request, sym, kconf)
    if sym.orig_type in (kconfiglib.INT, kconfiglib.HEX):
        return Problem("E_RANGE", request.where, f"{request.shown_name}={said(request)} is out of range"
                       + range_hint(sym, "; give one in {}"))
    if sym.choice and request.value == "y":
        other = sym.choice.selection
        return Problem("E_CHOICE", request.where, f"{request.shown_name}=y, but "
                       f"{other.name if other else 'nothing'} is chosen; keep one of the two")
    if sym.choice:
        members = listed(f"CONFIG_{s.name}=y" for s in sym.choice.syms if s is not sym)
        return Problem("E_CHOICE", request.where, f"{request.shown_name} is off, but no other member of its "
                       f"choice is on; set {members or 'nothing: it is the only member'}")
    if kconfiglib.expr_value(sym.rev_dep):
        return Problem("E_DEPENDS", request.where, f"{request.shown_name} is selected by "
                       f"{tree.expr_text(sym.rev_dep, kconf)}; switch that off or delete the line")
    return Problem("E_TYPE", request.where, f"{request.shown_name}={said(request)} became {got or 'empty'}")


def compare(requests, kconf):
    return [explain(r, kconf) for r in requests
            if answer(kconf.syms[r.name]) != r.value]


def check_derived(derived, kconf):
    """Derived names must agree with what they derive from."""
    problems = []
    for request, primary in derived:
        if primary and kconf.syms[primary].str_value != "y":
            problems.append(Problem("E_CONFLICT", request.where,
                                    f"CONFIG_{request.said}={said(request)} says what CONFIG_{primary}=y "
                                    f"means, but {primary} is off; set CONFIG_{primary}=y or delete the line"))
    return problems


def multiply(products, requests, kconf, problems):
    """Requests for the products of the alias table, whose factor the other lines decide."""
    lines = [assignment(kconf, r) for r in requests]
    out, notes = [], []
    for request, name, factor in products:
        if not INTEGER.fullmatch(request.value) or request.quoted:
            problems.append(Problem("E_TYPE", request.where, f"CONFIG_{request.said}={said(request)} is not a "
                                    "whole number"))
            continue
        by = int(with_values(kconf, solver.solve(lines)).syms[factor].str_value or 0)
        value = str(int(request.value) * by)
        out.append(request.renamed(name, value))
        notes.append(f"{request.where}: CONFIG_{request.said}={request.value} is now "
                     f"CONFIG_{name}={value} (times {factor} {by})")
    return out, notes


# --- Whole files

def resolve(path, preset):
    """Checks the file and gives the complete configuration it means.

    preset  a fragment of user-settable symbols; else a complete .config, whose lines for symbols
            without prompt are compared but may stand.
    Throws ConfigError with every problem found, one line each."""
    requests, problems = fragment.read(path)
    kconf = tree.load()
    names = {sym.name for sym in tree.ordered_symbols(kconf)}
    translated = aliases.translate(requests, names)
    problems += translated.problems
    good = []
    for request in translated.requests:
        problem = check_line(request, kconf, names, preset)
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
    text = solver.solve(assignment(kconf, r) for r in asked)
    with_values(kconf, text)
    problems += compare(asked, kconf) + check_derived(translated.derived, kconf)
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
    return [s.name for s in tree.ordered_symbols(resolved.kconf)
            if tree.settable(s) and s.visibility and s.name not in there
            and not (s.choice and s.choice.selection and s.choice.selection.name in there)]


def check_dot_config(path):
    """resolve() for a .config, with one line for what is new since it was written."""
    resolved = resolve(path, preset=False)
    for text in resolved.notes:
        note(text)
    fresh = new_symbols(resolved)
    if fresh:
        some = ", ".join(fresh[:4]) + (", …" if len(fresh) > 4 else "")
        what = "1 new symbol takes its default" if len(fresh) == 1 else \
            f"{len(fresh)} new symbols take their defaults"
        note(f"{shown(path)}: {what} ({some}); make olddefconfig writes them down")
    return resolved

