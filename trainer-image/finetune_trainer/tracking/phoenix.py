"""Phoenix, which has no curves: one experiment per run, on a dataset that is the project.

The dataset holds a single example, the task of fine-tuning. A run of a job is an experiment on it: settings
as metadata, final metrics as evaluations, which Phoenix compares between experiments; and a thinned-out table
of rows as the output.
"""

from datetime import UTC, datetime
from typing import Any

from phoenix.client import Client

from finetune_trainer.tracking.base import Ending, TrackedRun, Values
from finetune_trainer.tracking.unused import NoUploads

SAMPLE_ROWS = 50
"""Rows that the output holds; of twice as many, every other one is left out."""

TASK = {"task": "fine-tune"}


class PhoenixTracker(NoUploads):
    """The experiment is made at the start and filled at the end."""

    def start(self, run: TrackedRun) -> None:
        """Finds the project's dataset and the job's experiment, or makes them."""
        self._began = datetime.now(UTC)
        self._rows: list[dict[str, float]] = []
        self._every, self._seen = 1, 0
        self._client = Client(base_url=run.url)
        try:
            dataset = self._client.datasets.get_dataset(dataset=run.project)
        except ValueError:
            dataset = self._client.datasets.create_dataset(
                name=run.project, inputs=[TASK], outputs=[{}], metadata=[{}]
            )
        self._example_id = dataset.examples[0]["id"]
        self._experiment_id = self._found(dataset.id, run) or self._created(dataset.id, run)

    def log(self, step: int, values: Values) -> None:
        """Keeps every row, then every other one, and so on: the sample never grows over its limit."""
        if self._seen % self._every == 0:
            self._rows.append({"step": step, **values})
        self._seen += 1
        if len(self._rows) > SAMPLE_ROWS:
            self._rows = self._rows[::2]
            self._every *= 2

    def finish(self, ending: Ending) -> None:
        """One run of the experiment. A run with an error can be written again by the next attempt."""
        logged = self._client.experiments.log_run(
            experiment_id=self._experiment_id,
            dataset_example_id=self._example_id,
            output={"outcome": ending.outcome, "message": ending.message, "rows": self._rows},
            start_time=self._began,
            end_time=datetime.now(UTC),
            error=None if ending.outcome == "succeeded" else f"{ending.outcome}: {ending.message}",
        )
        for name, value in ending.metrics.items():
            self._client.experiments.log_evaluation(
                experiment_run_id=logged["id"], name=name, annotator_kind="CODE", score=value
            )

    def _found(self, dataset_id: str, run: TrackedRun) -> str | None:
        experiments: list[Any] = self._client.experiments.list(dataset_id=dataset_id)
        mine = [each for each in experiments if (each.get("metadata") or {}).get("run") == run.id]
        return str(mine[0]["id"]) if mine else None

    def _created(self, dataset_id: str, run: TrackedRun) -> str:
        metadata = {"run": run.id, "tags": run.tags, **run.parameters}
        created = self._client.experiments.create(
            dataset_id=dataset_id, experiment_name=run.name, experiment_metadata=metadata
        )
        return str(created["id"])
