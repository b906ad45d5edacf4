"""What an engine is: a library that runs a whole training, behind one call."""

from typing import Protocol

from finetune_api.job import FineTuneJob, ObjectMeta
from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_api.validation import validate_job
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking


class Engine(Protocol):
    """One value of `training.engine`.

    An engine begins with `refuse_invalid`, and owes what `docs/architecture.md` lists for stages:
    committed checkpoints, an exact resume, reports, an orderly end when told to stop, a verified output.
    """

    def train(
        self, job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking
    ) -> TrainingResult:
        """The whole run on this rank. Raises `TrainerError`, and whatever the library raises."""


def refuse_invalid(job: ResolvedJob) -> None:
    """Raises `InvalidConfigError` with every error that the validator finds: nothing in the spec is
    ignored."""
    meta = ObjectMeta(name=job.job.name, namespace=job.job.namespace)
    findings = validate_job(FineTuneJob(metadata=meta, spec=job.spec), target="local")
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    if errors:
        raise InvalidConfigError("; ".join(errors))
