"""One run and its mirrors: reads what is new of metrics.jsonl and hands it to each client.

Per client the place up to which lines were sent is kept in mirror.json, after they were sent. What a kill makes be
sent twice is left out by Trackio (rows have ids), and W&B's offline run is written anew. A file that was cut back
by a resume has lines that differ from what was sent: then, too, the client's run is written anew. So a mirror holds
what metrics.jsonl holds, line by line."""

import os
import time

from track import memory, names, run_files
from track.trackio_client import Trackio
from track.wandb_client import Wandb

CLIENTS = {"trackio": Trackio, "wandb": Wandb}
LAST_TRIES = 5      # of a client that fails when the run has ended
LONGEST_WAIT_S = 60  # between two tries


class ClientMirror:
    """What one client gets of one run."""

    def __init__(self, run, name, store, anew, interval):
        self.run, self.name, self.store, self.interval = run, name, store, interval
        self.names = names.Names(run, name)
        self.memory = store.of(name)
        self.names.keep(self.memory, run)
        if anew:
            self._forget()
        self.memory.setdefault("failures", 0)
        self.client, self.tail, self.tries, self.next_try, self.given_up = None, None, 0, 0.0, False

    def _forget(self):
        for key in ("offset", "sha256", "state", "rows"):
            self.memory.pop(key, None)

    def step(self, run_ended):
        """Sends what is new. True when nothing is left to do: the run has ended and all was sent, or given up."""
        if self.given_up or time.monotonic() < self.next_try:
            return self.given_up
        try:
            done = self._send(run_ended)
        except Exception as error:  # a client may raise anything, and none of it is the run's concern
            self._failed(error, run_ended)
            return self.given_up
        if self.tries:
            memory.say(self.run, f"{self.name}: goes on after {self.tries} failures")
        self.tries = 0
        return done

    def _send(self, run_ended):
        if self.tail is None and not self._begin(run_ended):
            return True
        try:
            lines = self.tail.read()
        except run_files.Rewritten:
            self._start_over()
            return False
        rows, damaged = [], 0
        n_ctx = names.context_length(self.run) if lines else None
        for offset, event in lines:
            row = names.row(event, n_ctx) if event else None
            if row is None:
                damaged += 1
            elif row[2]:
                rows.append((offset, *row))
        if damaged:
            memory.say(self.run, f"{self.name}: {damaged} damaged lines of metrics.jsonl before byte "
                       f"{self.tail.offset} are left out")
        if rows:
            self.client.send(rows)
        if lines:
            self._remember("following", len(rows))
        if lines or not run_ended:
            return False
        self.client.finish(run_files.exit_status(self.run))
        self._remember("complete")
        self.tail.close()
        self.tail = None
        return True

    def _begin(self, run_ended):
        """Takes up the work where it was left. False when it had been finished and nothing is new."""
        offset, state = self.memory.get("offset"), self.memory.get("state")
        known = isinstance(offset, int) and isinstance(self.memory.get("sha256"), str)
        if known and state == "complete" and run_ended and self._unchanged(offset):
            return False
        if self.client is None:
            self.client = CLIENTS[self.name](self.names, self.run)
        if not known or state == "clearing" or self.client.restarts_from_zero:
            self._start_over()
        else:
            self.tail = run_files.Tail(self.run / "metrics.jsonl", offset, self.memory["sha256"])
        return True

    def _unchanged(self, offset):
        tail = run_files.Tail(self.run / "metrics.jsonl", offset, self.memory["sha256"])
        try:
            return not tail.read()
        except run_files.Rewritten:
            return False
        finally:
            tail.close()

    def _start_over(self):
        # Remembered first: a kill in the middle of clearing must not leave half of it as the whole.
        self._forget()
        self.memory["state"] = "clearing"
        self.store.save()
        if self.tail:
            self.tail.close()
        self.client.clear()
        self.tail = run_files.Tail(self.run / "metrics.jsonl")
        self._remember("following")

    def _remember(self, state, rows=0):
        self.memory.update(offset=self.tail.offset, sha256=self.tail.sha256, state=state,
                           rows=self.memory.get("rows", 0) + rows)
        self.store.save()

    def _failed(self, error, run_ended):
        self.tries += 1
        self.memory["failures"] += 1
        if self.tries == 1:  # once; the count is in mirror.json
            memory.say(self.run, f"warning: {self.name}: {type(error).__name__}: {error}; tried again later")
        # The client starts afresh, from the place that is remembered.
        self.tail = None
        if self.client is not None and self.client.restarts_from_zero:
            self._forget()
        client, self.client = self.client, None
        self.next_try = time.monotonic() + min(LONGEST_WAIT_S, self.interval * 2 ** self.tries)
        if run_ended and self.tries >= LAST_TRIES:
            self.given_up = True
            self.memory["state"] = "failed"
            memory.say(self.run, f"warning: {self.name}: given up after {self.tries} failures; once the cause is "
                       "mended: make track-export TARGET=RUN")
        try:
            self.store.save()
            if client is not None:
                client.abandon()
        except Exception:  # said above
            pass


class RunMirror:
    """A run followed by this process alone; `process` is the run's, where it is known.

    interval: seconds between two calls of step(); once: what is there now is all."""

    def __init__(self, run, clients, interval, anew=False, process=None, once=False):
        self.run, self.process, self.once, self.lock = run, process, once, memory.lock(run)
        self.identity = _identity(run)
        self.clients = []
        if self.lock:
            store = memory.Memory(run)
            wanted = clients or configured(run)
            self.clients = [ClientMirror(run, name, store, anew, interval) for name in wanted]

    @property
    def locked(self):
        return self.lock is not None

    def moved(self):
        """Another directory, or none, has the name now: a new attempt at a cell, or the run was removed."""
        return _identity(self.run) != self.identity

    def step(self):
        """True when all clients are done with the run."""
        alive = self.process is not None and run_files.process_alive(self.process)
        # Asked before the file is read: what the run wrote before its end is then all there.
        run_ended = self.once or not alive and run_files.ended(self.run)
        return all([client.step(run_ended) for client in self.clients])

    def failed(self):
        return any(client.given_up for client in self.clients)

    def close(self):
        for client in self.clients:
            if client.client is not None and client.tail is not None:
                client.client.abandon()
        if self.lock:
            self.lock.close()


def _identity(run):
    try:
        status = os.stat(run)
        return status.st_dev, status.st_ino
    except OSError:
        return None


def configured(run):
    """Clients that the run's own configuration asks for."""
    symbols = run_files.settings(run)
    return [name for name, symbol in (("trackio", "ENABLE_TRACKIO"), ("wandb", "ENABLE_WANDB")) if symbols.get(symbol)]
