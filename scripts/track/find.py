"""Which run a process is at: the kernel tells which files it holds open, so no path has to be agreed on."""

import os
from pathlib import Path


def _open_metrics(pid):
    """Directory whose metrics.jsonl the process holds open, or None."""
    try:
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            target = os.readlink(descriptor.path)
            if target.endswith("/metrics.jsonl"):
                return Path(target).parent
    except OSError:  # ended, or not ours
        pass
    return None


def _children(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def directory_of(pid):
    """The run directory that the process is at, or the matrix directory of the cells that its children are at."""
    if run := _open_metrics(pid):
        return run
    below = _children(pid)
    while below:
        child = below.pop()
        if run := _open_metrics(child):
            matrix = run.parent.parent
            return matrix if (matrix / "plan.json").exists() else run
        below += _children(child)
    return None
