"""The presets in defconfigs/: finding, listing and describing them, and the retired ones."""

import os

import tree
from problems import fail, listed, nearest

DIRECTORY = "defconfigs"
MAX_PURPOSE = 90


def directory():
    return os.path.join(tree.ROOT, DIRECTORY)


def names():
    return sorted(n for n in os.listdir(directory()) if n != "RETIRED" and not n.startswith("."))


def purpose(path):
    """The first line's comment: what the preset is for."""
    with open(path, encoding="utf-8") as lines:
        return lines.readline().lstrip("# ").strip()


def header(path):
    """The comment lines at the head of PATH, which Kconfig itself would lose."""
    lines = []
    with open(path, encoding="utf-8") as source:
        for line in source:
            if not line.startswith("#") or line.startswith("# CONFIG_"):
                break
            lines.append(line)
    return "".join(lines)


def retired():
    """name -> (reason, nearest preset), from defconfigs/RETIRED; `*` and {a,b} are not used
    there."""
    table = {}
    with open(os.path.join(directory(), "RETIRED"), encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, reason, instead = line.rstrip("\n").split("\t")
                table[name] = (reason, instead)
    return table


def find(name):
    """Path of preset NAME; retired and unknown names are problems that say what to take instead."""
    path = os.path.join(directory(), name)
    if os.path.basename(name) == name and name in names():
        return path
    if name in retired():
        reason, instead = retired()[name]
        fail(
            "E_RETIRED",
            f"{DIRECTORY}/{name}",
            f"retired: {reason}; nearest preset: make defconfig-{instead}",
        )
    close = listed(nearest(name, names()))
    fail(
        "E_UNKNOWN_PRESET",
        f"{DIRECTORY}/{name}",
        f"no such preset; did you mean {close}?; " "make list-defconfigs shows all",
    )
    return None
