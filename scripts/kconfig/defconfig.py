#!/usr/bin/python3
"""Writes and compares presets.

usage: defconfig.py save FILE            .config as a minimal preset
       defconfig.py import FROM FILE     the preset FROM, old names translated, as a minimal preset
       defconfig.py diff A B             a file or a preset each: what B changes
FILE is overwritten only with FORCE=1 in the environment. Status 0, 2 for a problem, 4 when a file
cannot be written."""

import os

import files
import kconfcheck
import presets
import solver
import strict
import tree
from problems import fail, note, run, shown

NO_PURPOSE = "say here, in one line, what this preset is for"


def minimal(text):
    """The lines of a complete .config TEXT that differ from the defaults."""
    with solver.workspace() as directory:
        config, saved = os.path.join(directory, "config"), os.path.join(directory, "saved")
        with open(config, "w", encoding="utf-8") as out:
            out.write(text)
        solver.batch(f"--savedefconfig={saved}", config)
        with open(saved, encoding="utf-8") as result:
            return result.read()


def write(text, path, head):
    """Writes the complete .config TEXT as a preset, after making sure that loading it gives
    TEXT."""
    if os.path.exists(path) and os.environ.get("FORCE") != "1":
        fail("E_EXISTS", shown(path), "exists; FORCE=1 overwrites it")
    lines = minimal(text)
    if solver.solve(lines.splitlines()) != text:
        fail(
            "E_KCONFIG",
            shown(path),
            "the minimal form does not load to the same .config; nothing written",
        )
    files.write_atomic(path, head + lines)
    print(f"knlp: {shown(path)} written, {len(lines.splitlines())} symbols")
    if NO_PURPOSE in head:
        note(f"its first line is for you to write: {head.strip()}")


def head_for(path, source=None):
    """The purpose lines: those of the file that is replaced, else of the one it came from."""
    for candidate in (path, source):
        if candidate and os.path.exists(candidate) and presets.header(candidate):
            return presets.header(candidate)
    return f"# {NO_PURPOSE}\n"


def save(path):
    config = kconfcheck.config_path()
    if not os.path.exists(config):
        fail(
            "E_NO_CONFIG",
            shown(config),
            "no configuration to save; run make menuconfig or make defconfig-NAME",
        )
    write(strict.check_dot_config(config).text, path, head_for(path))


def import_from(source, path):
    if not os.path.isfile(source):
        fail("E_NO_CONFIG", shown(source), "no such file; name the upstream preset (FILE=)")
    resolved = strict.resolve(source, preset=True)
    for text in resolved.notes:
        note(text)
    write(resolved.text, path, head_for(path, source))


def complete(word):
    """.config text of a preset's name or of a file that is a preset or a .config."""
    if not os.path.exists(word):
        if "/" in word:
            fail(
                "E_NO_CONFIG",
                shown(word),
                "no such file; give a file or the name of a preset (A=, B=)",
            )
        word = presets.find(word)
    with open(word, encoding="utf-8", errors="replace") as source:
        generated = "Automatically generated file" in source.read(200)
    return strict.resolve(word, preset=not generated)


def diff(first, second):
    """Prints -NAME value, +NAME value and NAME old -> new, in the order of the menus."""
    old, new = complete(first).kconf, complete(second).kconf
    for before in tree.ordered_symbols(old):
        if not tree.settable(before):
            continue
        after = new.syms[before.name]
        was, now = shown_value(before), shown_value(after)
        if was == now:
            continue
        if was and now:
            print(f" {before.name} {was} -> {now}")
        else:
            print(f"{'-' if was else '+'}{before.name} {was or now}")


def shown_value(sym):
    """Value of SYM, "" when it has none or its dependencies are off."""
    if not sym.visibility and sym.str_value in ("", "n"):
        return ""
    text = sym.str_value
    return tree.quoted(text) if tree.TYPES[sym.orig_type] == "string" else text


def main(argv):
    if len(argv) == 2 and argv[0] == "save":
        save(argv[1])
    elif len(argv) == 3 and argv[0] == "import":
        import_from(argv[1], argv[2])
    elif len(argv) == 3 and argv[0] == "diff":
        diff(argv[1], argv[2])
    else:
        fail("E_USAGE", "", __doc__.split("\n\n", 1)[1].strip())
    return 0


if __name__ == "__main__":
    run(main)
