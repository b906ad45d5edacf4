"""Rules about `spec.tracking`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.tracking import TrackerSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, suggestion, warning

KEY_VARIABLES: Final = {"wandb": "WANDB_API_KEY", "comet": "COMET_API_KEY"}
"""Trackers whose public service wants a key, and the variable that may hold it instead."""


def tracking(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A project for every tracker, a key where one is needed, a tracker that can show curves."""
    spec = job.spec.tracking
    if not spec.trackers:
        yield suggestion(
            Code.NO_TRACKER,
            "tracking.trackers",
            "no experiment tracker compares this run with others",
            "Name one in tracking.trackers, and its tracking.project",
        )
        return
    if spec.project is None:
        yield error(
            Code.REQUIRES,
            "tracking.project",
            "experiment trackers need the name of a project",
            "Set tracking.project",
        )
    variables = {variable.name for variable in job.spec.resources.env}
    for index, tracker in enumerate(spec.trackers):
        yield from _tracker(tracker, f"tracking.trackers[{index}]", variables)
    if all(tracker.type == "phoenix" for tracker in spec.trackers):
        yield warning(
            Code.NO_CURVES,
            "tracking.trackers",
            "phoenix stores traces, data sets and experiments, and no curves of loss",
            "Name another tracker beside it, such as tensorboard",
        )


def _tracker(tracker: TrackerSpec, path: str, variables: set[str]) -> Iterator[Finding]:
    variable = KEY_VARIABLES.get(tracker.type)
    without_key = tracker.api_key_secret is None and variable not in variables
    if variable is not None and without_key and not tracker.offline:
        yield warning(
            Code.MISSING_API_KEY,
            f"{path}.apiKeySecret",
            f"{tracker.type} wants a key, and none is named",
            f"Set apiKeySecret, {variable} in resources.env, or offline: true",
        )
    if tracker.type == "mlflow" and tracker.url is not None and tracker.url.startswith(("file:", "/", ".")):
        yield error(
            Code.FILE_STORE,
            f"{path}.url",
            "MLflow 3.13 and newer no longer write to a directory of files",
            "Use the address of a server, or sqlite:///FILE",
            tracker.url,
        )
