"""Comet: its server, one of one's own (`url`), or archives for `comet upload`."""

import os
from pathlib import Path

import comet_ml

from finetune_trainer.tracking.base import Ending, TrackedRun, Values


class CometTracker:
    """All attempts are one experiment, whose key is the job's id."""

    def start(self, run: TrackedRun) -> None:
        """Comet writes archives to its directory offline, and where its server goes away."""
        self._archives = None if run.offline else run.directory
        os.environ |= {"COMET_OFFLINE_DIRECTORY": str(run.directory), "COMET_LOGGING_CONSOLE": "ERROR"}
        if run.url is not None:
            os.environ["COMET_URL_OVERRIDE"] = run.url
        self._experiment = comet_ml.start(
            workspace=run.workspace,
            project_name=run.project,
            experiment_key=run.id,
            mode="get_or_create",
            online=not run.offline,
            experiment_config=comet_ml.ExperimentConfig(
                auto_histogram_tensorboard_logging=False,
                auto_log_co2=False,
                auto_metric_logging=False,
                auto_output_logging="",
                auto_param_logging=False,
                display_summary_level=0,
                log_code=False,
                log_env_details=False,
                log_git_metadata=False,
                log_git_patch=False,
                log_graph=False,
                name=run.name,
                offline_directory=str(run.directory),
                parse_args=False,
                tags=run.tags,
            ),
        )
        self._experiment.log_parameters(run.parameters)

    def log(self, step: int, values: Values) -> None:
        """Metrics by the names that `metrics.jsonl` has."""
        self._experiment.log_metrics(dict(values), step=step)

    def upload(self, directory: Path, name: str) -> None:
        """The checkpoint's files as a model."""
        self._experiment.log_model(name, str(directory))
        self._experiment.flush()

    def finish(self, ending: Ending) -> None:
        """Waits until everything is sent, or the archive is written.

        Raises `ConnectionError` where the server has not taken all.
        """
        self._experiment.log_others({"outcome": ending.outcome, "message": ending.message})
        taken = self._experiment.flush()
        self._experiment.end()
        left = [] if self._archives is None else list(self._archives.glob("*.zip"))
        if left or not taken:
            raise ConnectionError("what the server has not taken is in tracking/comet, for comet upload")
