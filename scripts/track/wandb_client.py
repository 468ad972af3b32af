"""Figures into an offline run of W&B, through its own client: <run>/wandb/offline-run-<time>-<id>/.

Such a run is one file that only grows, and the end of it is lost when the client is killed. It cannot be gone on
with, so a mirror that starts again writes a new one from the first line and removes the old one. A later
`wandb sync` of the user takes the newest; nothing here speaks to a server."""

import os
import shutil
from pathlib import Path

from track import names, run_files

# Not there in fact: whatever still tried to reach a server would fail at once.
NOWHERE = "http://127.0.0.1:9"


def environment(symbols):
    """Changes of the environment before the client is imported: offline, without a word home. None removes."""
    del symbols
    changes = {name: None for name in os.environ if name.startswith("WANDB_")}
    changes.update({"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off",
                    "WANDB_ERROR_REPORTING": "false", "WANDB_DISABLE_GIT": "true", "WANDB_DISABLE_CODE": "true",
                    "NO_PROXY": "localhost", "no_proxy": "localhost"})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        changes[name] = changes[name.lower()] = NOWHERE
    return changes


class Wandb:
    name = "wandb"
    restarts_from_zero = True

    def __init__(self, run_names, run):
        import wandb

        self.wandb, self.names, self.directory = wandb, run_names, Path(run)
        self.run = None

    def clear(self):
        """Removes earlier offline runs of this run."""
        self.abandon()
        for old in (self.directory / "wandb").glob(f"offline-run-*-{self.names.id[:8]}"):
            shutil.rmtree(old)

    def send(self, rows):
        """rows: [(offset behind the line, step, time, {name: float})]"""
        if self.run is None:
            self._begin()
        for _, step, time, figures in rows:
            self.run.log({"step": step, **figures, "_timestamp": run_files.seconds_of(time)})

    def finish(self, exit_status):
        if self.run is None:
            self._begin()
        self.run.finish(exit_code=exit_status)
        self.run = None

    def abandon(self):
        """Lets go of the run being written; what it has so far will be removed."""
        run, self.run = self.run, None
        if run is not None:
            run.finish(exit_code=1)

    def _begin(self):
        settings = self.wandb.Settings(console="off", silent=True, disable_git=True, save_code=False,
                                       disable_job_creation=True, x_disable_stats=True, x_disable_meta=True,
                                       x_disable_machine_info=True, x_save_requirements=False)
        self.run = self.wandb.init(project=self.names.project, entity=self.names.entity, name=self.names.run,
                                   group=self.names.group, id=self.names.id[:8],
                                   config=names.configuration(self.directory), dir=str(self.directory), mode="offline", reinit="create_new", settings=settings)
        # W&B's own steps may only rise, and those of our lines sometimes fall: the last training step is logged after
        # the evaluation behind it. So W&B counts lines, and draws over our steps.
        self.run.define_metric("step", hidden=True)
        self.run.define_metric("*", step_metric="step")
