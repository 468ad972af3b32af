"""The Kconfig tree as kconfiglib sees it, and the two lists that mark its symbols."""

import os
import re
import sys

try:
    import kconfiglib
except ImportError:
    sys.stderr.write(
        "knlp: error[E_MISSING]: kconfiglib not found: apt install python3-kconfiglib\n"
    )
    sys.exit(2)
from kconfiglib import AND, OR, NOT, EQUAL, UNEQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TYPES = {
    kconfiglib.BOOL: "bool",
    kconfiglib.INT: "int",
    kconfiglib.HEX: "hex",
    kconfiglib.STRING: "string",
    kconfiglib.TRISTATE: "tristate",
}
RELATIONS = {
    EQUAL: "=",
    UNEQUAL: "!=",
    LESS: "<",
    LESS_EQUAL: "<=",
    GREATER: ">",
    GREATER_EQUAL: ">=",
}


def load(root=ROOT):
    """Parses ROOT/Kconfig. Warnings are collected in .warnings, never printed."""
    os.environ.setdefault("KNLP_HAVE_CUDA", "")
    os.environ["srctree"] = root
    kconf = kconfiglib.Kconfig("Kconfig", warn_to_stderr=False)
    kconf.warn_assign_undef = True
    kconf.warn_assign_override = True
    kconf.warn_assign_redun = True
    return kconf


def read_list(name, root=ROOT):
    """Names in scripts/kconfig/NAME: one a line, '#' starts a comment."""
    names = []
    with open(os.path.join(root, "scripts/kconfig", name), encoding="utf-8") as lines:
        for line in lines:
            word = line.split("#", 1)[0].strip()
            if word:
                names.append(word)
    return names


def quoted(text):
    """TEXT as a Kconfig string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def item_text(item):
    """One operand: a symbol's name, or a literal."""
    if not item.is_constant:
        return item.name
    if item.name in ("y", "n"):
        return item.name
    return quoted(item.name)


def expr_text(expr, kconf):
    """EXPR in Kconfig's grammar; "" for one that is always y."""
    plain = simplified(expr, kconf.y)
    return "" if plain is kconf.y else expression(plain)


def simplified(expr, yes):
    """EXPR with each choice replaced by what the choice itself depends on, and without `&& y`.
    Members of a choice depend on the choice, which users cannot set."""
    if isinstance(expr, kconfiglib.Choice):
        conditions = [node.prompt[1] for node in expr.nodes if node.prompt]
        return simplified(conditions[0] if conditions else expr.direct_dep, yes)
    if not isinstance(expr, tuple) or expr[0] not in (AND, OR):
        return expr
    left, right = simplified(expr[1], yes), simplified(expr[2], yes)
    if expr[0] is AND and left is yes:
        return right
    if expr[0] is AND and right is yes:
        return left
    return (expr[0], left, right)


def expression(expr, level=0):
    """EXPR as text; LEVEL is how tightly the surroundings bind: 1 in ||, 2 in &&, 3 after !."""
    if not isinstance(expr, tuple):
        return item_text(expr)
    op = expr[0]
    if op is AND:
        text, own = " && ".join(expression(e, 2) for e in expr[1:]), 2
    elif op is OR:
        text, own = " || ".join(expression(e, 1) for e in expr[1:]), 1
    elif op is NOT:
        return "!" + expression(expr[1], 3)
    else:
        text, own = item_text(expr[1]) + " " + RELATIONS[op] + " " + item_text(expr[2]), 3
        return "(" + text + ")" if level >= 3 else text
    return "(" + text + ")" if own < level else text


def choice_name(choice):
    """A choice's own name, or one made from its first member."""
    return choice.name or "choice:" + choice.syms[0].name


def is_env(sym):
    return sym.env_var is not None


def settable(sym):
    """True when a user may write it: it has a prompt and is no environment symbol."""
    return any(node.prompt for node in sym.nodes) and not is_env(sym)


def ordered_symbols(kconf):
    """Defined symbols in menu order, each once."""
    return list(dict.fromkeys(kconf.unique_defined_syms))


def location(node):
    return f"{node.filename}:{node.linenr}"


def semantic(sym):
    """The machine line `Type: …` of its help, or ""."""
    for node in sym.nodes:
        match = re.search(r"^\s*Type:\s*(\S.*)$", node.help or "", re.MULTILINE)
        if match:
            return match.group(1).strip()
    return ""


def menu_path(node):
    titles = []
    node = node.parent
    while node is not None and node.parent is not None:
        if node.item is kconfiglib.MENU or isinstance(node.item, kconfiglib.Choice):
            if node.prompt:
                titles.append(node.prompt[0])
        node = node.parent
    return " > ".join(reversed(titles))
