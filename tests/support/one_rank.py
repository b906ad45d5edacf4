"""Runs of the trainer in this process: whole, stopped, or killed in the middle."""

from typing import Any

from finetune_api import ResolvedJob, TrainingResult
from finetune_trainer.engines import native
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter


class StopAfter(StopRequest):
    """Is told to stop while the given step is done."""

    def __init__(self, reporter: Reporter, step: int) -> None:
        self.reporter, self.step = reporter, step

    @property
    def requested(self) -> bool:
        return self.reporter.report.step >= self.step - 1 > 0


class Killed(BaseException):
    """The process ends in the middle of things."""


class DiesAt(Reporter):
    """Kills the run when it reports the given step, before anything of that step is saved."""

    def __init__(self, step: int) -> None:
        super().__init__([])
        self.last = step

    def update(self, **fields: Any) -> None:
        super().update(**fields)
        if fields.get("epoch") is not None and fields["step"] == self.last:
            raise Killed


def train(
    job: ResolvedJob, reporter: Reporter | None = None, stop: StopRequest | None = None
) -> TrainingResult:
    """A run of one rank, which leaves no process group behind."""
    try:
        return native.train(job, reporter or Reporter([]), stop or StopRequest())
    finally:
        native.end_process_group()
