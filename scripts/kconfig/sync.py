#!/usr/bin/python3
"""Makes the generated files follow .config.

usage: sync.py CONFIG OUTPUT_DIR
Checks CONFIG strictly (kconfcheck.py), gives new symbols their defaults, then writes below
OUTPUT_DIR
  include/generated/knlp_config.h       build symbols for C++, with their text and its SHA-256
  include/generated/config_schema.inc   tables of all symbols
  include/config/auto.conf              all symbols, for make; written last, as it is the stamp
  include/config/synced                 the .config they were made from
each only when its content changes, so that a run symbol recompiles nothing."""

import hashlib
import os

import kconfiglib

import files
import schema
import strict
import tree
from problems import fail, run


def build_lines(kconf):
    """.config lines of the build symbols, sorted by name; one that is off is listed as such."""
    lines = []
    for name in sorted(tree.read_list("buildtime.list")):
        sym = kconf.syms[name]
        if sym.orig_type is kconfiglib.BOOL and sym.str_value == "n":
            lines.append(f"# CONFIG_{name} is not set")
        elif sym.str_value:
            value = sym.str_value
            text = tree.quoted(value) if sym.orig_type is kconfiglib.STRING else value
            lines.append(f"CONFIG_{name}={text}")
    return lines


def header_text(lines):
    text = "".join(line + "\n" for line in lines)
    digest = hashlib.sha256(text.encode()).hexdigest()
    out = ["// Build symbols of .config; written by scripts/kconfig/sync.py.", "#pragma once", ""]
    for line in lines:
        if line.startswith("#"):
            continue
        name, value = line.split("=", 1)
        out.append(f"#define {name} {'1' if value == 'y' else value}")
    out += ["", f'#define KNLP_BUILD_CONFIG_SHA256 "{digest}"', "#define KNLP_BUILD_CONFIG_TEXT \\"]
    out += [f"    {schema.cpp(line + chr(10))} \\" for line in lines]
    return "\n".join(out) + '\n    ""\n'


def auto_conf_text(kconf):
    """Set symbols as make variables; what make would expand or cut is escaped."""
    out = [f"synced-cuda := {os.environ.get('KNLP_HAVE_CUDA', '')}"]
    for sym in sorted(tree.ordered_symbols(kconf), key=lambda s: s.name):
        line = sym.config_string.strip()
        if line and not line.startswith("#"):
            out.append(line.replace("$", "$$").replace("#", "\\#"))
    return "\n".join(out) + "\n"


def generate(config, output):
    """Checks CONFIG and writes everything below OUTPUT; a copy of CONFIG tells make what it is in
    step with, as the time of a file that was moved or restored does not."""
    with open(config, encoding="utf-8", errors="surrogateescape") as source:
        read_first = source.read()
    kconf = strict.check_dot_config(config).kconf
    include = os.path.join(output, "include")
    os.makedirs(f"{include}/config", exist_ok=True)
    with files.locked(f"{include}/config"):
        files.write_if_changed(
            f"{include}/generated/knlp_config.h", header_text(build_lines(kconf))
        )
        files.write_if_changed(f"{include}/generated/config_schema.inc", schema.schema_text(kconf))
        files.write_atomic(f"{include}/config/synced", read_first)
        files.write_atomic(f"{include}/config/auto.conf", auto_conf_text(kconf))


def main(argv):
    if len(argv) != 2:
        fail("E_USAGE", "", "usage: sync.py CONFIG OUTPUT_DIR")
    generate(*argv)
    return 0


if __name__ == "__main__":
    run(main)
