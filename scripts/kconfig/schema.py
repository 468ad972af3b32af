#!/usr/bin/python3
"""Writes the schema of all symbols as C++ constant tables for src/config/schema.cpp.

usage: schema.py OUTPUT
The tables fit the structs of include/knlp/config/schema.h: kSymbols, kChoices, and kAliases, whose
element type {from, to} the including file defines. The file is rewritten only when it changes."""

import aliases
import files
import tree
from problems import fail, run

TYPES = {"bool": "kBool", "int": "kInt", "hex": "kHex", "string": "kString"}


def cpp(text):
    """TEXT as C++ string literals, one a line of text so that no literal gets too long."""
    out = []
    for line in text.splitlines(keepends=True) or [""]:
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        out.append('"' + escaped.replace("\t", "\\t").replace("?", "\\?") + '"')
    return " ".join(out)


class Tables:
    """Collects arrays and the rows that point into them."""

    def __init__(self, kconf):
        self.kconf = kconf
        self.lines = []
        self.build = set(tree.read_list("buildtime.list"))
        self.resume_free = set(tree.read_list("resume-free.list"))
        self.budget = set(tree.read_list("budget.list"))

    def condition(self, expr):
        return tree.expr_text(expr, self.kconf)

    def array(self, kind, name, rows):
        """Emits an array of KIND and gives the expression that names it ("{}" when empty)."""
        if not rows:
            return "{}"
        body = ", ".join("{" + ", ".join(cpp(cell) for cell in row) + "}" for row in rows)
        self.lines.append(f"inline constexpr {kind} {name}[] = {{{body}}};")
        return name

    def symbol(self, index, sym):
        node = sym.nodes[0]
        prompts = [n for n in sym.nodes if n.prompt]
        prompt, prompt_condition = "", ""
        if prompts and not tree.is_env(sym):
            prompt = prompts[0].prompt[0]
            prompt_condition = self.condition(prompts[0].prompt[1])
        conditional, ranges = "SymbolInfo::Conditional", "SymbolInfo::Range"
        defaults = [(value_text(v), self.condition(c)) for v, c in sym.defaults]
        selects, implies = reverse_references(self.kconf, sym)
        limits = [
            (tree.item_text(lo).strip('"'), tree.item_text(hi).strip('"'), self.condition(c))
            for lo, hi, c in sym.ranges
        ]
        choice = tree.choice_name(sym.choice) if sym.choice else ""
        help_text = next((n.help for n in sym.nodes if n.help), "")
        fields = {
            "name": cpp(sym.name),
            "type": "SymbolType::" + TYPES[tree.TYPES[sym.orig_type]],
            "prompt": cpp(prompt),
            "prompt_condition": cpp(prompt_condition),
            "depends": cpp(self.condition(sym.direct_dep)),
            "menu_path": cpp(tree.menu_path(node)),
            "help": cpp(help_text.strip()),
            "semantic": cpp(tree.semantic(sym)),
            "choice": cpp(choice),
            "location": cpp(tree.location(node)),
            "env": cpp(sym.env_var or ""),
            "build": "true" if sym.name in self.build else "false",
            "resume_free": "true" if sym.name in self.resume_free else "false",
            "budget": "true" if sym.name in self.budget else "false",
            "defaults": self.array(conditional, f"kDefaults{index}", defaults),
            "selected_by": self.array(conditional, f"kSelected{index}", selects),
            "implied_by": self.array(conditional, f"kImplied{index}", implies),
            "ranges": self.array(ranges, f"kRanges{index}", limits),
        }
        return "    {" + ", ".join(f".{key} = {value}" for key, value in fields.items()) + "},"

    def choice(self, index, choice):
        node = choice.nodes[0]
        members = f"kMembers{index}"
        names = ", ".join(cpp(sym.name) for sym in choice.syms)
        self.lines.append(f"inline constexpr std::string_view {members}[] = {{{names}}};")
        defaults = [(sym.name, self.condition(c)) for sym, c in choice.defaults]
        fields = {
            "name": cpp(tree.choice_name(choice)),
            "prompt": cpp(node.prompt[0] if node.prompt else ""),
            "condition": cpp(self.condition(node.prompt[1] if node.prompt else choice.direct_dep)),
            "members": members,
            "defaults": self.array("SymbolInfo::Conditional", f"kChoiceDefaults{index}", defaults),
        }
        return "    {" + ", ".join(f".{key} = {value}" for key, value in fields.items()) + "},"


def value_text(value):
    """A default's value: a literal without quotes, or a symbol's name or expression."""
    if isinstance(value, tuple):
        return tree.expression(value)
    return value.name


def reverse_references(kconf, target):
    """(selecting symbol, condition) and (implying symbol, condition) pairs of TARGET."""
    selects, implies = [], []
    for sym in tree.ordered_symbols(kconf):
        selects += [(sym.name, tree.expr_text(c, kconf)) for t, c in sym.selects if t is target]
        implies += [(sym.name, tree.expr_text(c, kconf)) for t, c in sym.implies if t is target]
    return selects, implies


def schema_text(kconf):
    tables, names = Tables(kconf), {sym.name for sym in tree.ordered_symbols(kconf)}
    rows = [tables.symbol(i, sym) for i, sym in enumerate(tree.ordered_symbols(kconf))]
    choices = [tables.choice(i, c) for i, c in enumerate(kconf.unique_choices)]
    out = ["// Written by scripts/kconfig/schema.py from the Kconfig files; edit those."]
    out += tables.lines
    out += ["inline constexpr SymbolInfo kSymbols[] = {"] + rows + ["};"]
    out += ["inline constexpr ChoiceInfo kChoices[] = {"] + choices + ["};"]
    out += ["inline constexpr AliasInfo kAliases[] = {"]
    out += [f"    {{{cpp(old)}, {cpp(new)}}}," for old, new in aliases.renames(names)]
    out += ["};"]
    return "\n".join(out) + "\n"


def main(argv):
    if len(argv) != 1:
        fail("E_USAGE", "", "usage: schema.py OUTPUT")
    files.write_if_changed(argv[0], schema_text(tree.load()))
    return 0


if __name__ == "__main__":
    run(main)
