"""Weights & Biases: its server, one of one's own (`url`), or files for `wandb sync`."""

import os
from pathlib import Path

import wandb

from finetune_trainer.tracking.base import Ending, TrackedRun, Values

INIT_SECONDS = 20.0


class WandbTracker:
    """All attempts are one run, whose id is the job's."""

    def start(self, run: TrackedRun) -> None:
        """`step` is a metric like the others: W&B's own step may not go back, as it does when an attempt
        resumes."""
        # where it keeps copies of artifacts that wait for `wandb sync`
        os.environ["WANDB_DATA_DIR"] = str(run.directory / "data")
        self._offline = run.offline
        self._id = run.id
        self._run = wandb.init(
            id=run.id,
            resume="allow",
            mode="offline" if run.offline else "online",
            project=run.project,
            entity=run.workspace,
            name=run.name,
            tags=run.tags,
            config=run.parameters,
            dir=run.directory,
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                init_timeout=INIT_SECONDS,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                **({"base_url": run.url} if run.url is not None else {}),
            ),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Values) -> None:
        """One row of the run's history."""
        self._run.log({"step": step, **values})

    def upload(self, directory: Path, name: str) -> None:
        """A version of the run's model artifact, under the checkpoint's name as alias."""
        artifact = wandb.Artifact(f"checkpoint-{self._id}", type="model")
        # the directory is gone when this returns: offline, W&B keeps a copy
        artifact.add_dir(str(directory), policy="mutable" if self._offline else "immutable")
        logged = self._run.log_artifact(artifact, aliases=["latest", name])
        if not self._offline:
            logged.wait()

    def finish(self, ending: Ending) -> None:
        """An interrupted run is left unfinished, to be taken up again."""
        self._run.summary.update(ending.metrics)
        if ending.outcome == "interrupted":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if ending.outcome == "succeeded" else 1)
