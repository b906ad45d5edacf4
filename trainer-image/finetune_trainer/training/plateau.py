"""`schedule.type: reduceOnPlateau`: the rate falls when the job's own evaluations no longer improve."""

from collections.abc import Mapping
from typing import Final

from finetune_api.job import FineTuneJobSpec

THRESHOLD: Final = 1e-4
"""Smallest relative change that counts as an improvement, as in PyTorch's `ReduceLROnPlateau`."""


class Plateau:
    """The rate before a step, as a share of the peak: a linear warm-up, then one that falls in stairs.

    It is the function of a `LambdaLR`, which keeps what is in its `__dict__` in checkpoints and puts it back:
    what the evaluations have shown. The settings are in slots, since they are those of this attempt.
    """

    __slots__ = ("__dict__", "factor", "greater_is_better", "metric", "patience", "warmup_steps")

    def __init__(self, *, metric: str, greater_is_better: bool, patience: int, factor: float) -> None:
        self.metric = metric
        self.greater_is_better = greater_is_better
        self.patience = patience
        self.factor = factor
        self.warmup_steps = 0
        self.best: float | None = None
        self.waited = 0
        self.share = 1.0

    def __call__(self, step: int) -> float:
        risen = step / self.warmup_steps if step < self.warmup_steps else 1.0
        return risen * self.share

    def add(self, scores: Mapping[str, float]) -> None:
        """Takes in one evaluation, the same on every rank."""
        value = scores[self.metric]
        if self.best is None or self._is_better(value, self.best):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.share *= self.factor
            self.waited = 0

    def _is_better(self, value: float, best: float) -> bool:
        margin = THRESHOLD * abs(best)
        return value > best + margin if self.greater_is_better else value < best - margin


def plateau(spec: FineTuneJobSpec) -> Plateau | None:
    """What follows the evaluations of a job; None for every other schedule."""
    schedule = spec.training.schedule
    if schedule.type != "reduceOnPlateau":
        return None
    return Plateau(
        metric=spec.checkpoints.measured_metric,
        greater_is_better=spec.checkpoints.greater_is_better,
        patience=schedule.patience,
        factor=schedule.factor,
    )
