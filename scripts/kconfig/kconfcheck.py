#!/usr/bin/python3
"""Loads presets and checks configurations, strictly.

usage: kconfcheck.py preset NAME      load defconfigs/NAME into .config
       kconfcheck.py load FILE        load a fragment into .config
       kconfcheck.py check [FILE]     check a complete .config; changes nothing
.config is $KCONFIG_CONFIG, else ./.config. It is replaced in one step when all is well, the one
before kept as .config.old; otherwise it stays as it was. Status 0, 2 for a problem, 4 when a file
cannot be written."""

import os

import files
import presets
import strict
from problems import fail, note, run, shown


def config_path():
    return os.environ.get("KCONFIG_CONFIG") or ".config"


def install(text, path):
    """Puts TEXT in place of the .config at PATH, the old one going to PATH.old. False when PATH
    holds TEXT already. A symbolic link stays one: what it points to is replaced."""
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    with files.locked(directory):
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as old:
                before = old.read()
            if before == text:
                return False
            files.write_atomic(f"{path}.old", before)
        files.write_atomic(path, text)
    return True


def load(path, title):
    """Checks the fragment at PATH and makes it the .config."""
    resolved = strict.resolve(path, preset=True)
    for text in resolved.notes:
        note(text)
    install(resolved.text, config_path())
    print(f"knlp: {shown(config_path())} is now {title}")


def main(argv):
    verb, rest = (argv[0], argv[1:]) if argv else ("", [])
    if verb == "preset" and len(rest) == 1:
        path = presets.find(rest[0])
        load(path, f"{rest[0]}: {presets.purpose(path)}")
    elif verb == "load" and len(rest) == 1:
        load(rest[0], f"what {shown(rest[0])} asks for")
    elif verb == "check" and len(rest) < 2:
        strict.check_dot_config(rest[0] if rest else config_path())
    else:
        fail("E_USAGE", "", __doc__.split("\n\n", 1)[1].strip())
    return 0


if __name__ == "__main__":
    run(main)
