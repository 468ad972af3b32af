"""What a mirror remembers beside a run: mirror.json (how far each client is) and mirror.log.

Losing either costs no figure: a mirror without memory writes everything anew."""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

from track import run_files


def utc_now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Memory:
    """mirror.json: {"schema": 1, "clients": {name: {"id", "project", "run", "offset", "sha256", "state",
    "failures", …}}}. Replaced as a whole, so that it is never half written."""

    def __init__(self, run):
        self.run, self.path = Path(run), Path(run) / "mirror.json"
        self.clients = run_files.read_json(self.path).get("clients")
        if not isinstance(self.clients, dict):
            self.clients = {}

    def of(self, client):
        """The remembered object of a client, kept for good by save()."""
        if not isinstance(self.clients.get(client), dict):
            self.clients[client] = {}
        return self.clients[client]

    def save(self):
        temporary = self.path.with_name(f"mirror.json.{os.getpid()}.tmp")
        text = json.dumps({"schema": 1, "updated": utc_now(), "clients": self.clients}, indent=2, sort_keys=True)
        try:
            temporary.write_text(text + "\n")
            os.replace(temporary, self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def say(run, text):
    """One line in mirror.log of the run, on stderr when that cannot be written."""
    line = f"{utc_now()} {' '.join(str(text).split())}\n"
    try:
        with open(Path(run) / "mirror.log", "a", encoding="utf-8") as log:
            log.write(line)
    except OSError:
        sys.stderr.write(f"track_mirror: {run}: {line}")


def lock(run):
    """A file that is locked as long as it is open, so that one mirror follows a run; None when another does."""
    file = open(Path(run) / "mirror.lock", "w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
