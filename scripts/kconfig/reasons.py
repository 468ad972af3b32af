"""Why a line is refused: what can be said of it by itself, and why the solver's answer differs."""

import re

import kconfiglib

import semantic
import tree
from problems import Problem, listed, nearest

INTEGER = re.compile(r"0|-?[1-9][0-9]*")
ZEROS = re.compile(r"-?0+[0-9]+")
HEX = re.compile(r"0[xX][0-9a-fA-F]+")


def check_name(request, kconf, names):
    if request.name in names:
        return None
    close = listed(nearest(request.name, [n for n in names if tree.settable(kconf.syms[n])]))
    return Problem(
        "E_UNKNOWN_SYMBOL",
        request.where,
        f"{request.shown_name} is not a symbol of this version; did you mean {close}?; "
        "correct or delete the line",
    )


def check_form(request, sym):
    """A problem when the value has not the form of its symbol's type."""
    name, value = f"CONFIG_{request.name}", request.value
    if sym.orig_type is kconfiglib.STRING:
        if not request.quoted:
            return Problem(
                "E_SYNTAX",
                request.where,
                f"{request.shown_name} is a string and {value or 'nothing'} has no quotes; "
                f"write: {name}={tree.quoted(value)}",
            )
        return None
    if sym.orig_type is kconfiglib.BOOL:
        if request.quoted or value not in ("y", "n"):
            guess = "y" if value.lower() in ("y", "yes", "1", "true", "on", "m") else "n"
            return Problem(
                "E_TYPE",
                request.where,
                f"{request.shown_name}={said(request)} is neither y "
                f"nor n; write: {name}={guess}",
            )
        return None
    form, what = (
        (HEX, "a number such as 0xff")
        if sym.orig_type is kconfiglib.HEX
        else (INTEGER, "a whole number")
    )
    if not request.quoted and form.fullmatch(value):
        return None
    better = value.lstrip("+")
    if ZEROS.fullmatch(better):
        better = str(int(better))
    fix = (
        f"; write: {name}={better}"
        if form.fullmatch(better)
        else range_hint(sym, "; give one in {}")
    )
    return Problem(
        "E_TYPE", request.where, f"{request.shown_name}={said(request)} is not {what}{fix}"
    )


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
    return Problem(
        code, request.where, f"{request.shown_name}={said(request)} {text}; correct the value"
    )


def check_line(request, kconf, names, preset):
    """Problem of one line by itself, or None."""
    problem = check_name(request, kconf, names)
    if problem:
        return problem
    sym = kconf.syms[request.name]
    if not tree.settable(sym):
        if preset or tree.is_env(sym):
            return Problem(
                "E_NOT_SETTABLE",
                request.where,
                f"{request.shown_name} is not user-settable: "
                "it follows from other symbols or from the machine; delete the line",
            )
        return None
    return check_form(request, sym) or check_semantic(request, sym)


def failing(expr):
    """The operands on which EXPR fails, with their values, as text."""
    if isinstance(expr, tuple) and expr[0] in (kconfiglib.AND, kconfiglib.OR):
        parts = [failing(e) for e in expr[1:] if not kconfiglib.expr_value(e)]
        return (" and " if expr[0] is kconfiglib.AND else " or ").join(
            dict.fromkeys(filter(None, parts))
        )
    if kconfiglib.expr_value(expr):
        return ""
    if isinstance(expr, tuple) and expr[0] is kconfiglib.NOT:
        return (
            f"{tree.item_text(expr[1])} is {expr[1].str_value}"
            if not isinstance(expr[1], tuple)
            else "the negated part holds"
        )
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
    return (
        f"set CONFIG_{expr.name}=y"
        if isinstance(expr, kconfiglib.Symbol) and tree.settable(expr)
        else ""
    )


def dependency(request, sym, kconf):
    """The problem of a symbol that is not visible."""
    conditions = [node.prompt[1] for node in sym.nodes if node.prompt]
    if sym.choice:
        conditions += [node.prompt[1] for node in sym.choice.nodes if node.prompt]
    expr = next((c for c in conditions if not kconfiglib.expr_value(c)), sym.direct_dep)
    expr = tree.simplified(expr, kconf.y)
    fix = remedy(expr)
    return Problem(
        "E_DEPENDS",
        request.where,
        f"{request.shown_name}={said(request)} depends on {tree.expr_text(expr, kconf)}, but "
        f"{failing(expr)}; {fix + ' or ' if fix else ''}delete the line",
    )


def explain(request, kconf):
    """Why the answer differs from REQUEST."""
    sym = kconf.syms[request.name]
    got = sym.str_value
    if not tree.settable(sym):
        return Problem(
            "E_NOT_SETTABLE",
            request.where,
            f"{request.shown_name}={said(request)} is not user-settable and follows to {got} here; "
            "delete the line",
        )
    if sym.visibility == 0:
        return dependency(request, sym, kconf)
    if sym.orig_type in (kconfiglib.INT, kconfiglib.HEX):
        return Problem(
            "E_RANGE",
            request.where,
            f"{request.shown_name}={said(request)} is out of range"
            + range_hint(sym, "; give one in {}"),
        )
    if sym.choice and request.value == "y":
        other = sym.choice.selection
        return Problem(
            "E_CHOICE",
            request.where,
            f"{request.shown_name}=y, but "
            f"{other.name if other else 'nothing'} is chosen; keep one of the two",
        )
    if sym.choice:
        members = listed(f"CONFIG_{s.name}=y" for s in sym.choice.syms if s is not sym)
        return Problem(
            "E_CHOICE",
            request.where,
            f"{request.shown_name} is off, but no other member of its "
            f"choice is on; set {members or 'nothing: it is the only member'}",
        )
    if kconfiglib.expr_value(sym.rev_dep):
        return Problem(
            "E_DEPENDS",
            request.where,
            f"{request.shown_name} is selected by "
            f"{tree.expr_text(sym.rev_dep, kconf)}; switch that off or delete the line",
        )
    return Problem(
        "E_TYPE", request.where, f"{request.shown_name}={said(request)} became {got or 'empty'}"
    )
