"""MLflow: a tracking server (`url`), or files beside the checkpoints.

The image has the library without a database, so that the files are those of MLflow's older file store.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag

from finetune_trainer.tracking.base import Ending, TrackedRun, Values

RUN_TAG = "finetune.run"
"""MLflow gives run ids itself: this tag holds ours."""

VALUES_PER_CALL = 100
"""Parameters or tags that MLflow takes at once."""
STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


def compare(known: Mapping[str, str], told: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters that are new, and those that have another value now."""
    new = {name: value for name, value in told.items() if name not in known}
    return new, {name: value for name, value in told.items() if name in known and known[name] != value}


def batched(items: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """As many as one call takes."""
    left = iter(items)
    while some := list(islice(left, VALUES_PER_CALL)):
        yield some


class MlflowTracker:
    """All attempts are one run of the experiment that is called like the project.

    MLflow refuses another value for a parameter that it has: what a later attempt has otherwise (the step it
    resumes from, the number of ranks) are tags `attempt.N.<parameter>`.
    """

    def start(self, run: TrackedRun) -> None:
        """A server that does not answer is an error after seconds, not after minutes."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        files = run.directory.as_uri()
        self._client = mlflow.MlflowClient(tracking_uri=files if run.offline else run.url or files)
        self._run_id = self._found(run) or self._created(run)
        self._client.update_run(self._run_id, status="RUNNING")
        told = {name: str(value) for name, value in run.parameters.items()}
        new, changed = compare(self._client.get_run(self._run_id).data.params, told)
        for some in batched(new.items()):
            self._client.log_batch(self._run_id, params=[Param(*each) for each in some])
        for some in batched(changed.items()):
            tags = [RunTag(f"attempt.{run.attempt}.{name}", value) for name, value in some]
            self._client.log_batch(self._run_id, tags=tags)

    def log(self, step: int, values: Values) -> None:
        """One call per row."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def upload(self, directory: Path, name: str) -> None:
        """The checkpoint's files, below `checkpoints/`."""
        self._client.log_artifacts(self._run_id, str(directory), f"checkpoints/{name}")

    def finish(self, ending: Ending) -> None:
        """Sets the run's status."""
        self._client.log_batch(self._run_id, tags=[RunTag("finetune.message", ending.message)])
        self._client.set_terminated(self._run_id, STATUS[ending.outcome])

    def _found(self, run: TrackedRun) -> str | None:
        experiment = self._client.get_experiment_by_name(run.project)
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run.id}'")
        return str(found[0].info.run_id) if found else None

    def _created(self, run: TrackedRun) -> str:
        experiment = self._client.get_experiment_by_name(run.project)
        experiment_id = (
            experiment.experiment_id if experiment else self._client.create_experiment(run.project)
        )
        tags = {RUN_TAG: run.id, **dict.fromkeys(run.tags, "true")}
        return str(self._client.create_run(experiment_id, tags=tags, run_name=run.name).info.run_id)
