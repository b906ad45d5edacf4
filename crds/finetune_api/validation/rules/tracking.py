"""Rules about `spec.tracking`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error


def tracking(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """A project for every tracker."""
    spec = job.spec.tracking
    if spec.trackers and spec.project is None:
        yield error(
            Code.REQUIRES,
            "tracking.project",
            "experiment trackers need the name of a project",
            "Set tracking.project",
        )
