"""The functions of the real SQLiteStorage that mirrors use, with the real one's rules for ids of rows.

KNLP_FAKE_FAILURES=N: the first N calls of bulk_log of a process fail. KNLP_FAKE_DIE=N: the N-th kills the process
after it has written, before it returns. KNLP_FAKE_HANG=1: it never returns."""

import json
import os
import signal
import time
from pathlib import Path

CALLS = [0]


class SQLiteStorage:
    @staticmethod
    def _path(project):
        return Path(os.environ["TRACKIO_DIR"]) / f"{project}.json"

    @staticmethod
    def _load(project):
        path = SQLiteStorage._path(project)
        return json.loads(path.read_text()) if path.exists() else {"rows": [], "configs": {}}

    @staticmethod
    def _save(project, data):
        path = SQLiteStorage._path(project)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))

    @staticmethod
    def validate_project_name(project):
        if project == "forbidden":
            raise ValueError("Project name 'forbidden' is not allowed")

    @staticmethod
    def get_log_count(project, run, run_id):
        return sum(row["run_id"] == run_id for row in SQLiteStorage._load(project)["rows"])

    @staticmethod
    def delete_run(project, run, run_id):
        data = SQLiteStorage._load(project)
        data["rows"] = [row for row in data["rows"] if row["run_id"] != run_id]
        SQLiteStorage._save(project, data)

    @staticmethod
    def bulk_log(project, run, run_id, metrics_list, steps, timestamps, log_ids, config):
        CALLS[0] += 1
        if CALLS[0] <= int(os.environ.get("KNLP_FAKE_FAILURES", "0")):
            raise OSError("the disk is full")
        while os.environ.get("KNLP_FAKE_HANG"):
            time.sleep(1)
        data = SQLiteStorage._load(project)
        known = {row["log_id"] for row in data["rows"]}
        for metrics, step, timestamp, log_id in zip(metrics_list, steps, timestamps, log_ids, strict=True):
            if log_id not in known:
                texts = {name: str(value) for name, value in metrics.items()}
                data["rows"].append({"log_id": log_id, "run": run, "run_id": run_id, "step": step,
                                     "timestamp": timestamp, "metrics": texts})
        data["configs"][run_id] = config
        SQLiteStorage._save(project, data)
        if CALLS[0] == int(os.environ.get("KNLP_FAKE_DIE", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
