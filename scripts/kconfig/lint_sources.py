"""Lint of who reads which symbol: readers, makefiles and C++ sources against the tree."""

import os
import re

import tree

READER = re.compile(r"src/config/read_\w+\.cpp$")
SYMBOL_CALL = re.compile(
    r'\b(?:on|text|integer|real|integers|words|origin|record_auto|built)\(\s*"([A-Za-z0-9_]+)"'
)
LITERAL = re.compile(r'"([A-Z][A-Z0-9_]+)"')
MAKE_USE = re.compile(r"\bCONFIG_([A-Z0-9_]+)")
MAKE_PREFIX = re.compile(r"\bCONFIG_([A-Z0-9_]+)\$\(")
CPP_USE = re.compile(r"\bCONFIG_([A-Z0-9_]+)")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
SOURCE_DIRECTORIES = ("src", "include/knlp", "kernels")


def files_below(root, directories, endings):
    for directory in directories:
        for folder, _, names in os.walk(os.path.join(root, directory)):
            for name in sorted(names):
                if name.endswith(endings):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8", errors="replace") as text:
                        yield os.path.relpath(path, root), text.read()


def line_number(text, match):
    return text.count("\n", 0, match.start()) + 1


def without_comments(text, strings=True):
    """TEXT without comments, and without string literals if STRINGS; lines kept."""

    def blank(match):
        found = match.group(0)
        return found if found.startswith('"') and not strings else "\n" * found.count("\n")

    return COMMENT_OR_STRING.sub(blank, text)


def make_files(root):
    yield from files_below(root, ("src", "kernels", "tests", "scripts/make"), ("Build.mk", ".mk"))
    with open(os.path.join(root, "Makefile"), encoding="utf-8") as text:
        yield "Makefile", text.read()


def check(kconf, root):
    """Literals that name no symbol, CONFIG_ names that are not built, and symbols nobody reads."""
    names = {s.name for s in tree.ordered_symbols(kconf)}
    build, read, out = set(tree.read_list("buildtime.list")), set(), []
    for path, text in files_below(root, ("src",), (".cpp", ".h")):
        if READER.search(path) or path == "src/config/build_info.cpp":
            read |= set(LITERAL.findall(text)) & names
            for match in SYMBOL_CALL.finditer(text):
                if match.group(1) not in names:
                    out.append(
                        f"{path}:{line_number(text, match)}: \"{match.group(1)}\" is no symbol"
                    )
    for path, text in files_below(root, SOURCE_DIRECTORIES, (".cpp", ".h", ".cu")):
        code = without_comments(text)
        for match in CPP_USE.finditer(code):
            if match.group(1) not in build:
                out.append(
                    f"{path}:{line_number(code, match)}: CONFIG_{match.group(1)} is not on "
                    "scripts/kconfig/buildtime.list"
                )
            read.add(match.group(1))
    # Mirrors of runs read the configuration that a run wrote down.
    for _, text in files_below(root, ("scripts/track",), (".py",)):
        read |= set(LITERAL.findall(text)) & names
    for path, text in make_files(root):
        for match in MAKE_PREFIX.finditer(text):
            read |= {name for name in names if name.startswith(match.group(1))}
        for match in MAKE_USE.finditer(MAKE_PREFIX.sub("", text)):
            if match.group(1) not in names:
                out.append(
                    f"{path}:{line_number(text, match)}: CONFIG_{match.group(1)} is no symbol"
                )
            read.add(match.group(1))
    return out + unread(kconf, read)


def unread(kconf, read):
    """Symbols that nothing reads. A hidden one may serve other symbols only; of a choice one member
    may be what is left when no other is on."""
    out, used_inside = [], set()
    for sym in tree.ordered_symbols(kconf):
        for other in sym.referenced:
            used_inside.add(other.name)
    for sym in tree.ordered_symbols(kconf):
        if sym.name in read or not tree.settable(sym) and sym.name in used_inside:
            continue
        if sym.choice and sum(s.name not in read for s in sym.choice.syms) == 1:
            continue
        out.append(
            f"{tree.location(sym.nodes[0])}: {sym.name} is read by no src/config/read_*.cpp and no "
            "makefile"
        )
    return out
