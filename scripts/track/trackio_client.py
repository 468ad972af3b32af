"""Figures into Trackio's database, through the client's own storage, locally.

trackio.init() and log() would ask the hub who the user is, give every row the time of its arrival, and drop
rows silently when the database is busy. This is the way of trackio.import_csv: rows in bulk with their own times
and with ids, and a row whose id is there is left out. So sending the same lines twice changes nothing."""

import os

from track import names

# Where this client would go to others than the local database.
REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_WRITE_TOKEN", "TRACKIO_BUCKET_ID", "TRACKIO_DATASET_ID",
          "TRACKIO_WEBHOOK_URL", "SPACE_ID", "SPACE_REPO_NAME", "SYSTEM", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def environment(symbols):
    """Changes of the environment before the client is imported: local and silent. None removes."""
    changes = {name: None for name in REMOTE}
    changes.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False",
                    "TRACKIO_STORAGE_MODE": "sqlite"})
    if symbols.get("TRACKIO_DIR"):
        changes["TRACKIO_DIR"] = os.path.expanduser(symbols["TRACKIO_DIR"])
    return changes


class Trackio:
    name = "trackio"
    restarts_from_zero = False

    def __init__(self, run_names, run):
        from trackio.sqlite_storage import SQLiteStorage

        self.storage, self.names, self.run = SQLiteStorage, run_names, run
        self.storage.validate_project_name(run_names.project)

    def clear(self):
        """Removes what an earlier mirror wrote of this run."""
        where = {"project": self.names.project, "run": self.names.run, "run_id": self.names.id}
        self.storage.delete_run(**where)
        if left := self.storage.get_log_count(**where):
            raise RuntimeError(f"{left} rows of the run could not be removed from project {self.names.project}")

    def send(self, rows):
        """rows: [(offset behind the line, step, time, {name: float})]"""
        config = {key: value for key, value in names.configuration(self.run).items() if not key.startswith("_")}
        config.update({"_Group": self.names.group, "_Username": None, "_Created": self.names.started.rstrip("Z")})
        self.storage.bulk_log(
            project=self.names.project, run=self.names.run, run_id=self.names.id,
            metrics_list=[figures for _, _, _, figures in rows], steps=[step for _, step, _, _ in rows],
            timestamps=[time.rstrip("Z") for _, _, time, _ in rows],
            log_ids=[f"{self.names.id}-{offset}" for offset, _, _, _ in rows],
            config=config)

    def finish(self, exit_status):
        del exit_status  # Trackio knows no end of a run

    def abandon(self):
        pass
