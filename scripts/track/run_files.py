"""What a mirror reads of a run: its events, its state, its configuration. It never writes these files.

metrics.jsonl grows by whole lines. A run that is resumed first cuts it back to its checkpoint, by a new
file under the old name; what a mirror sent of the part that was cut no longer holds."""

import hashlib
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

BATCH_BYTES = 1 << 20
SILENCE_S = 600  # of the heartbeat of a run on another machine, as knlp itself judges it


class Rewritten(Exception):
    """The file no longer begins with what was read of it."""


class Tail:
    """The lines of a file from an offset on, as they come.

    `offset` is always the end of a whole line, `sha256` the hash of all bytes before it."""

    def __init__(self, path, offset=0, sha256=""):
        self.path, self.offset = Path(path), offset
        self._hash, self._claimed, self._file, self._identity = None, sha256, None, None

    @property
    def sha256(self):
        return self._hash.hexdigest() if self._hash else self._claimed

    def read(self):
        """[(offset behind the line, its object)]; a damaged line has None. Raises Rewritten."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            if self.offset:
                raise Rewritten(f"{self.path} is gone") from None
            return []
        if self._identity != (now.st_dev, now.st_ino):
            self._open()
        elif now.st_size < self.offset:
            raise Rewritten(f"{self.path} is shorter than what was read of it")
        self._file.seek(self.offset)
        data = self._file.read(BATCH_BYTES)
        while data and b"\n" not in data and (more := self._file.read(BATCH_BYTES)):
            data += more
        data = data[: data.rfind(b"\n") + 1]
        self._hash.update(data)
        lines = []
        for line in data.splitlines(keepends=True):
            self.offset += len(line)
            lines.append((self.offset, _object(line)))
        return lines

    def close(self):
        if self._file:
            self._file.close()
        self._file = self._identity = None

    def _open(self):
        self.close()
        self._file = open(self.path, "rb")
        status, begin = os.fstat(self._file.fileno()), self._file.read(self.offset)
        digest = hashlib.sha256(begin)
        claimed = self._hash.hexdigest() if self._hash else self._claimed
        if len(begin) < self.offset or self.offset and digest.hexdigest() != claimed:
            raise Rewritten(f"{self.path} begins with something else than what was read of it")
        self._hash, self._identity = digest, (status.st_dev, status.st_ino)


def _object(line):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_json(path):
    """The object in a file; an empty one when it is absent or damaged, as a killed writer leaves it."""
    try:
        return _object(Path(path).read_bytes()) or {}
    except OSError:
        return {}


def is_run(directory):
    return (directory / "manifest.json").exists()


def is_matrix(directory):
    return (directory / "plan.json").exists()


def settings(run):
    """Symbol -> value of the resolved configuration."""
    resolved = read_json(run / "config.resolved.json")
    return {name: item.get("value") for name, item in resolved.items() if isinstance(item, dict)}


def seconds_of(utc):
    """Seconds since 1970 of a time as our records write it; None of anything else."""
    try:
        return datetime.strptime(utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError):
        return None


def process_alive(pid):
    """A zombie is dead: its parent has only not asked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _line_of(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def state_of(run):
    """State in status.json; "failed" when it says running and its process is gone."""
    status = read_json(run / "status.json")
    state = status.get("state", "pending")
    if state not in ("running", "pending") or not status:
        return state
    host = status.get("host")
    if isinstance(host, str) and host != os.uname().nodename:
        beat = seconds_of(status.get("heartbeat"))
        return "failed" if beat is not None and time.time() - beat > SILENCE_S else state
    here = status.get("boot_id") == _line_of("/proc/sys/kernel/random/boot_id")
    return state if here and process_alive(status.get("pid")) else "failed"


def ended(run):
    return state_of(run) not in ("running", "pending")


def exit_status(run):
    """What the run ended with, 0 while it runs; 1 when it could not say."""
    code, state = read_json(run / "status.json").get("exit_code"), state_of(run)
    if state in ("done", "running"):
        return 0
    return code if isinstance(code, int) and code else 1
