"""Rules about `spec.tracking`."""

from collections.abc import Iterator
from typing import Final

from finetune_api.job import FineTuneJob
from finetune_api.rules_over_sections import PROJECT_GIVEN
from finetune_api.tracking import KEY_VARIABLES, TrackerSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error, suggestion, warning

WANT_A_KEY: Final = frozenset({"wandb", "comet"})
"""Trackers whose public service wants a key."""

HAVE_WORKSPACES: Final = frozenset({"wandb", "comet"})
STORE_FILES: Final = frozenset({"wandb", "comet", "mlflow", "trackio"})


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
        yield broken(Code.REQUIRES, PROJECT_GIVEN)
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
    kind, variable = tracker.type, KEY_VARIABLES.get(tracker.type)
    without_key = tracker.api_key_secret is None and variable not in variables
    if kind in WANT_A_KEY and without_key and not tracker.offline:
        yield warning(
            Code.MISSING_API_KEY,
            f"{path}.apiKeySecret",
            f"{kind} wants a key, and none is named",
            f"Set apiKeySecret, {variable} in resources.env, or offline: true",
        )
    if tracker.workspace is not None and kind not in HAVE_WORKSPACES:
        yield error(
            Code.CONFLICT, f"{path}.workspace", f"{kind} has no workspaces", "Remove it", tracker.workspace
        )
    if tracker.log_artifacts and kind not in STORE_FILES:
        yield error(Code.CONFLICT, f"{path}.logArtifacts", f"{kind} stores no files", "Remove it", True)
    if kind == "tensorboard" and (tracker.url is not None or tracker.api_key_secret is not None):
        field = "url" if tracker.url is not None else "apiKeySecret"
        yield error(
            Code.CONFLICT,
            f"{path}.{field}",
            "tensorboard writes files beside the checkpoints and calls no server",
            f"Remove {field}",
        )
    if kind == "phoenix" and (tracker.url is None or tracker.offline):
        yield error(
            Code.REQUIRES,
            f"{path}.url",
            "phoenix writes to its server only",
            "Set url to the server's address, and offline: false",
        )
    if kind == "mlflow" and tracker.url is not None and not tracker.url.startswith(("http://", "https://")):
        yield error(
            Code.FILE_STORE,
            f"{path}.url",
            "the trainer reaches MLflow by its server only",
            "Use the address of a server, or remove url: files beside the checkpoints",
            tracker.url,
        )
