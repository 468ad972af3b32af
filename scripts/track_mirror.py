#!/usr/bin/env python3
"""Mirrors runs to Trackio and to offline runs of W&B by following their metrics.jsonl.

usage: track_mirror.py [--to trackio,wandb] [--once] [--anew] [--interval S] DIR...
       track_mirror.py [--to trackio,wandb] --process PID [DIR]

DIR is the directory of a run or of a matrix. With --process it is that of this process, found if it is not given, and
followed as long as the process lives. Without --to the run's configuration says which clients (ENABLE_TRACKIO, ENABLE_WANDB).

A mirror is a process of its own and only reads what the run writes: dead, hanging or failing, it changes nothing
of the run. It ends when the runs have ended and all is sent.

Status: 0 all sent, 2 usage, 4 a client failed (see mirror.log of the run), 5 a client is not installed, 6 another
mirror is at work on a run."""

import argparse
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from track import find, follow, memory, names, run_files, trackio_client, wandb_client  # noqa: E402

ENVIRONMENTS = {"trackio": trackio_client.environment, "wandb": wandb_client.environment}
QUIET_S = 600  # without a cell at work, a matrix that is not done is left; it can be mirrored again later
HANG_S = 600  # of one round of one run; then the process gives up, and its memory is as before the round


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", default="", help="clients: trackio, wandb or both, with a comma between")
    parser.add_argument("--process", type=int, help="follow the run, or matrix, of this process")
    parser.add_argument("--once", action="store_true", help="send what is there and end")
    parser.add_argument("--anew", action="store_true", help="forget what was sent and write it again")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two looks")
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR")
    given = parser.parse_args()
    given.clients = list(follow.CLIENTS) if given.to == "both" else [c for c in given.to.split(",") if c]
    for client in given.clients:
        if client not in follow.CLIENTS:
            parser.error(f"--to {client}: neither trackio nor wandb")
    if not given.directories and given.process is None:
        parser.error("name directories of runs, or a --process")
    for directory in given.directories:
        if not run_files.is_matrix(directory) and not run_files.is_run(directory):
            parser.error(f"{directory}: neither a run nor a matrix: it has no manifest.json and no plan.json")
    return given


def wait_for_directory(process):
    """Directory of the process's run or matrix; None when it ends without one."""
    while run_files.process_alive(process):
        if directory := find.directory_of(process):
            return directory
        time.sleep(0.1)
    return None


class Mirror:
    """All runs that one process follows."""

    def __init__(self, given):
        self.given, self.runs, self.done, self.environment = given, {}, {}, None
        self.refused = self.failed = 0
        self.quiet_since = None  # monotonic seconds; while no run is followed

    def directories(self):
        """Run directories there are now; those of a matrix come one by one."""
        for top in self.given.directories:
            if run_files.is_matrix(top):
                cells = top / "cells"
                yield from sorted(d for d in cells.iterdir() if d.is_dir()) if cells.is_dir() else ()
            else:
                yield top

    def prepare(self, run):
        """Sets the environment for the clients that the run wants and says whether they are there."""
        wanted = self.given.clients or follow.configured(run)
        symbols = run_files.settings(run)
        changes = {}
        for client in wanted:
            changes.update(ENVIRONMENTS[client](symbols))
        if self.environment is None:
            for name, value in changes.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            self.environment = changes
        elif changes.get("TRACKIO_DIR") != self.environment.get("TRACKIO_DIR"):
            memory.say(run, "warning: TRACKIO_DIR differs from that of the other runs; mirror this one by itself")
            return False
        for client in wanted:
            if importlib.util.find_spec(client) is None:
                memory.say(run, f"warning: {client} is not installed for {sys.executable}; run: make trackers")
                sys.exit(5)
        return True

    def look(self):
        """Takes up the runs that appeared, lets go of those that went."""
        for run in self.directories():
            if run in self.done and self.done[run] == self.sign(run):
                continue
            if run in self.runs or not run_files.is_run(run):
                continue
            try:
                self.take_up(run)
            except OSError as error:
                sys.stderr.write(f"track_mirror: {run}: {error}\n")
                self.finished(run, failed=True)

    def take_up(self, run):
        if not self.prepare(run):
            self.finished(run, failed=True)
            return
        # The process of a matrix is not that of its cells; theirs is in their status.json.
        process = self.given.process if run in self.given.directories else None
        anew = self.given.anew and run not in self.done
        given = self.given
        mirror = follow.RunMirror(run, given.clients, given.interval, anew, process, given.once)
        if mirror.locked:
            self.runs[run] = mirror
            self.quiet_since = None
        elif not self.given.process:  # there, the other one may end before the run does
            self.refused += 1
            sys.stderr.write(f"track_mirror: {run}: another mirror is at work on it; end that one first\n")
            self.done[run] = self.sign(run)

    @staticmethod
    def sign(run):
        """Changes when a run that was done is at work again: resumed, or tried anew."""
        try:
            return os.stat(run).st_ino, run_files.read_json(run / "status.json").get("attempt")
        except OSError:
            return None

    def finished(self, run, failed=False):
        self.failed += failed
        self.done[run] = self.sign(run)

    def step(self):
        for run, mirror in list(self.runs.items()):
            signal.alarm(HANG_S)
            if mirror.moved():
                mirror.close()
                del self.runs[run]
            elif mirror.step():
                mirror.close()
                del self.runs[run]
                self.finished(run, mirror.failed())
            signal.alarm(0)

    def over(self):
        """Nothing more will come."""
        if self.runs:
            return False
        if self.given.process is not None:
            return not run_files.process_alive(self.given.process)
        if self.given.once:
            return True
        if all(self.complete(top) for top in self.given.directories):
            return True
        self.quiet_since = self.quiet_since or time.monotonic()
        return time.monotonic() - self.quiet_since > QUIET_S

    def complete(self, top):
        """Every cell of the matrix was done; a run alone is over when it was followed to its end."""
        if not run_files.is_matrix(top):
            return True
        count = len(run_files.read_json(top / "plan.json").get("cells", []))
        cells = [run for run in self.directories() if run_files.state_of(run) == "done"]
        return len(cells) >= count

    def run(self):
        while True:
            self.look()
            self.step()
            if self.over():
                self.look()  # a cell that came and went since
                if not self.runs:
                    break
            time.sleep(self.given.interval)
        return 4 if self.failed else 6 if self.refused else 0


def give_up(*_):
    sys.stderr.write(f"track_mirror: a client did not answer for {HANG_S} s; ended. Start again: make track-export\n")
    os._exit(4)


def main():
    given = arguments()
    if given.process is not None:
        # Ctrl-C is for the run; and whatever time there is belongs to it.
        if os.getsid(0) != os.getpid() and os.getpgrp() != os.getpid():
            os.setsid()
        os.nice(19)
        if not given.directories:
            if (found := wait_for_directory(given.process)) is None:
                return 0
            given.directories = [found]
    signal.signal(signal.SIGALRM, give_up)
    return Mirror(given).run()


if __name__ == "__main__":
    sys.exit(main())
