#!/usr/bin/python3 -B
"""Random configurations of kconfig-conf against kconfiglib and against the strict check.

usage: check_random_configs.py COUNT
For each: both engines give every symbol the same value, the strict check takes it without a note,
and solving it again changes nothing. One line a difference; status 1 when there is any."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("KNLP_SRC") or os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "scripts/kconfig"))

import defconfig
import solver
import strict
import tree


def differences(seed, directory):
    config = os.path.join(directory, f"{seed}.config")
    solver.batch("--randconfig", config, KCONFIG_SEED=hex(seed))
    with open(config, encoding="utf-8") as source:
        text = source.read()
    resolved = strict.resolve(config, preset=False)
    out = [f"{seed}: noted {note}" for note in resolved.notes]
    if resolved.text != text:
        out.append(f"{seed}: solving it again changes it")
    if solver.solve(defconfig.minimal(text).splitlines()) != text:
        out.append(f"{seed}: its minimal form loads to something else")
    written = {line for line in text.splitlines() if line.startswith("CONFIG_")}
    ours = {s.config_string.strip() for s in tree.ordered_symbols(resolved.kconf)}
    only = sorted(written ^ {line for line in ours if line.startswith("CONFIG_")})
    return out + [f"{seed}: only one engine says {line}" for line in only]


def main():
    with solver.workspace() as directory:
        bad = [
            text for seed in range(1, int(sys.argv[1]) + 1) for text in differences(seed, directory)
        ]
    print("\n".join(bad) or f"{sys.argv[1]} agree")
    return 1 if bad else 0


sys.exit(main())
