"""What an engine is: a library that runs a whole training, behind one call."""

from typing import Protocol

from finetune_api.resolved import ResolvedJob
from finetune_api.result import TrainingResult
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter
from finetune_trainer.tracking.fanout import Tracking


class Engine(Protocol):
    """One value of `training.engine`.

    An engine gets a job that validation has passed, and owes what `docs/architecture.md` lists for stages:
    committed checkpoints, an exact resume, reports, an orderly end when told to stop, a verified output.
    """

    def train(
        self, job: ResolvedJob, reporter: Reporter, stop: StopRequest, tracking: Tracking
    ) -> TrainingResult:
        """The whole run on this rank. Raises `TrainerError`, and whatever the library raises."""
