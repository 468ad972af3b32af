#!/usr/bin/python3
"""The configuration targets that edit or make a .config.

usage: configure.py menuconfig|nconfig|config|oldconfig|olddefconfig|listnewconfig
       configure.py allnoconfig|allyesconfig|alldefconfig|randconfig
Each works on a copy that is checked strictly before it replaces .config ($KCONFIG_CONFIG, else
./.config). Status 0, 2 for a problem, 4 when a file cannot be written."""

import contextlib
import curses
import os
import shutil
import signal
import subprocess
import sys

import kconfcheck
import solver
import strict
from problems import ConfigError, fail, note, run, shown

EDITORS = {"menuconfig": "kconfig-mconf", "nconfig": "kconfig-nconf"}
QUESTIONS = {"config": "--oldaskconfig", "oldconfig": "--oldconfig"}
BATCH = ("allnoconfig", "allyesconfig", "alldefconfig", "randconfig")


def need_terminal(target):
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail(
            "E_TERMINAL",
            "",
            f"{target} needs a terminal; use make defconfig-NAME or make olddefconfig",
        )
    try:
        curses.setupterm()
    except curses.error:
        fail(
            "E_TERMINAL",
            "",
            f"terminal type '{os.environ.get('TERM', '')}' is not known; set TERM, "
            "as in TERM=vt100 make " + target,
        )


def current(config):
    """The checked .config text to start from, or None when there is no .config yet."""
    if not os.path.exists(config):
        return None
    resolved = strict.resolve(config, preset=False)
    for text in resolved.notes:
        note(text)
    return resolved.text


def accept(edited, config):
    """Checks the edited copy and installs it; a copy with a problem is kept beside .config."""
    rejected = f"{config}.rejected"
    try:
        strict.resolve(edited, preset=False)
    except ConfigError as error:
        shutil.copyfile(edited, rejected)
        for problem in error.problems:
            problem.where = problem.where.replace(shown(edited), shown(rejected))
        note(f"{shown(config)} is unchanged; what you entered is in {shown(rejected)}")
        raise
    with contextlib.suppress(FileNotFoundError):
        os.unlink(rejected)
    with open(edited, encoding="utf-8") as source:
        changed = kconfcheck.install(source.read(), config)
    print(f"knlp: {shown(config)} {'saved' if changed else 'unchanged'}")


def interactive(command, config, needs_success):
    """Runs COMMAND, with the user at the keyboard, on a copy of .config in a directory of its own;
    what the user saved there under other names comes back beside .config."""
    text = current(config)
    with solver.workspace() as directory:
        copy = os.path.join(directory, ".config")
        if text is not None:
            with open(copy, "w", encoding="utf-8") as out:
                out.write(text)
        # Ctrl-C is for the editor: a handler, unlike SIG_IGN, is not inherited through exec.
        signal.signal(signal.SIGINT, lambda *_: None)
        done = subprocess.run(
            [*command, "Kconfig"], cwd=directory, env=solver.environment(".config"), check=False
        )
        if done.returncode != 0 and needs_success:
            fail(
                "E_KCONFIG",
                "",
                f"{os.path.basename(command[0])} ended with status {done.returncode}; "
                f"{shown(config)} is unchanged",
            )
        bring_back(directory, os.path.dirname(config) or ".")
        if not os.path.exists(copy):
            fail(
                "E_NO_CONFIG",
                shown(config),
                "nothing was saved, so there is still no configuration",
            )
        accept(copy, config)


def bring_back(directory, to):
    for name in sorted(os.listdir(directory)):
        if name not in (".config", ".config.old") and os.path.isfile(os.path.join(directory, name)):
            shutil.copyfile(os.path.join(directory, name), os.path.join(to, name))
            print(f"knlp: {shown(os.path.join(to, name))} saved")


def batch(target, config):
    """A target that asks nothing: the solver makes a whole .config. $KCONFIG_ALLCONFIG names values
    to keep, and is held to them as strictly as a preset."""
    text = current(config) if target == "olddefconfig" else None
    more = {
        name: os.environ[name]
        for name in ("KCONFIG_SEED", "KCONFIG_PROBABILITY")
        if os.environ.get(name)
    }
    if target == "randconfig":
        more.setdefault("KCONFIG_SEED", f"0x{os.urandom(4).hex().upper()}")
    if text is None:
        mode = "--alldefconfig" if target == "olddefconfig" else f"--{target}"
        keep = os.environ.get("KCONFIG_ALLCONFIG")
        text = (
            strict.resolve(keep, True, lambda lines: solver.solve(lines, mode, **more)).text
            if keep
            else solver.solve([], mode, **more)
        )
    changed = kconfcheck.install(text, config)
    print(f"knlp: {shown(config)} {'saved' if changed else 'unchanged'}")
    if target == "randconfig":
        print(f"knlp: make randconfig KCONFIG_SEED={more['KCONFIG_SEED']} repeats it")


def list_new(config):
    """Symbols that are new since .config was written, one CONFIG_NAME=default a line."""
    if not os.path.exists(config):
        fail(
            "E_NO_CONFIG",
            shown(config),
            "no configuration to compare with; run make menuconfig or make defconfig-NAME",
        )
    resolved = strict.resolve(config, preset=False)
    for name in strict.new_symbols(resolved):
        print(resolved.kconf.syms[name].config_string.strip())


def main(argv):
    target, config = (argv[0] if len(argv) == 1 else ""), kconfcheck.config_path()
    os.makedirs(os.path.dirname(config) or ".", exist_ok=True)
    if target in EDITORS:
        need_terminal(target)
        # nconf ends with 1 after saving, so its status says nothing.
        interactive([solver.need(EDITORS[target])], config, needs_success=target == "menuconfig")
    elif target in QUESTIONS:
        interactive([solver.need("kconfig-conf"), QUESTIONS[target]], config, needs_success=True)
    elif target == "olddefconfig" or target in BATCH:
        batch(target, config)
    elif target == "listnewconfig":
        list_new(config)
    else:
        fail("E_USAGE", "", __doc__.split("\n\n", 1)[1].strip())
    return 0


if __name__ == "__main__":
    run(main)
