"""A stand-in for W&B: each offline run is a file of lines, and its last lines are lost when it is killed."""

import json
import os
import signal
import time
from pathlib import Path

LOGGED = [0]


class Settings:
    def __init__(self, **given):
        self.given = given


class Run:
    def __init__(self, directory, about):
        self.file = open(directory / "rows.jsonl", "w", encoding="utf-8")
        self.waiting = [{"about": about}]

    def define_metric(self, name, step_metric=None, hidden=False):
        pass

    def log(self, row):
        LOGGED[0] += 1
        texts = {name: str(value) for name, value in row.items() if name != "step"}
        self.waiting.append({"step": row["step"], "metrics": texts})
        if len(self.waiting) > 2:  # as the real one, it writes in blocks
            self._write(self.waiting[:-1])
            self.waiting = self.waiting[-1:]
        if LOGGED[0] == int(os.environ.get("KNLP_FAKE_DIE", "0")):
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, lines):
        self.file.write("".join(json.dumps(line) + "\n" for line in lines))
        self.file.flush()

    def finish(self, exit_code):
        self._write(self.waiting + [{"exit": exit_code}])
        self.file.close()


def init(project, entity, name, group, id, config, dir, mode, reinit, settings):
    assert mode == "offline" and os.environ["WANDB_MODE"] == "offline" and reinit == "create_new"
    assert "WANDB_API_KEY" not in os.environ and settings.given["x_disable_stats"]
    directory = Path(dir) / "wandb" / f"offline-run-{time.time_ns()}-{id}"
    directory.mkdir(parents=True)
    return Run(directory, {"project": project, "entity": entity, "name": name, "group": group, "config": config})
