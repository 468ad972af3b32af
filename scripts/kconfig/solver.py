"""Runs kconfig-conf away from the user's files and refuses everything it grumbles about.

The engine returns 0 for most bad input and only warns, so any text on stderr is a failure here."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import tree
from problems import fail

PACKAGES = {
    "kconfig-conf": "kconfig-frontends",
    "kconfig-mconf": "kconfig-frontends",
    "kconfig-nconf": "kconfig-frontends",
    "kconfig-diff": "kconfig-frontends",
}


def need(program):
    """Path of PROGRAM; a missing one names its package."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, program)
        if os.access(path, os.X_OK):
            return path
    fail("E_MISSING", "", f"{PACKAGES[program]} not found: apt install {PACKAGES[program]}")


@contextlib.contextmanager
def workspace():
    """A fresh directory, gone afterwards; also after SIGTERM, which make sends its children."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="knlp-kconfig-") as directory:
        yield directory


def environment(config, **more):
    env = dict(os.environ, KCONFIG_CONFIG=config, srctree=tree.ROOT, LC_ALL="C.UTF-8", **more)
    for name in (
        "KCONFIG_ALLCONFIG",
        "KCONFIG_AUTOHEADER",
        "KCONFIG_AUTOCONFIG",
        "CONFIG_",
        "KCONFIG_NOSILENTUPDATE",
        "KCONFIG_OVERWRITECONFIG",
    ):
        if name not in more:
            env.pop(name, None)
    env.setdefault("KNLP_HAVE_CUDA", "")
    return env


def batch(mode, config, **more):
    """Runs kconfig-conf MODE with CONFIG as its .config. It starts beside CONFIG, since it makes
    temporary files where it starts, and finds the Kconfig files through srctree."""
    command = [need("kconfig-conf"), "-s", mode, "Kconfig"]
    directory, name = os.path.split(os.path.abspath(config))
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment(name, **more),
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    grumbling = [
        line.strip() for line in done.stderr.splitlines() if not line.startswith("KCONFIG_SEED=")
    ]
    if done.returncode != 0 or grumbling:
        said = "; ".join(filter(None, grumbling)) or f"status {done.returncode}"
        fail("E_KCONFIG", "Kconfig", f"kconfig-conf refused: {said}")


def solve(lines, mode="--defconfig", **more):
    """Complete .config text for the assignments in LINES, which our own checks have passed. MODE is
    --defconfig, or one of the all*config modes and --randconfig, which take them as a preset."""
    with workspace() as directory:
        fragment, config = os.path.join(directory, "fragment"), os.path.join(directory, "config")
        with open(fragment, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        if mode == "--defconfig":
            batch(f"--defconfig={fragment}", config, **more)
        else:
            batch(mode, config, KCONFIG_ALLCONFIG=fragment, **more)
        with open(config, encoding="utf-8") as result:
            return result.read()
