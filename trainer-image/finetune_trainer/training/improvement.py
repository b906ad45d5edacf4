"""Whether evaluation still improves: which state is the best one, and when patience is at an end."""

from dataclasses import dataclass
from typing import TypedDict

from finetune_api.training import EarlyStoppingSpec


class ImprovementState(TypedDict):
    """What a checkpoint keeps of an `Improvement`."""

    best: float | None
    mark: float | None
    waited: int


@dataclass
class Improvement:
    """Follows `checkpoints.metric` from evaluation to evaluation, the same on every rank.

    The best value is the best there was. `training.earlyStopping` counts evaluations since the value was
    better than the last one that counted by more than the threshold.
    """

    stopping: EarlyStoppingSpec | None
    greater_is_better: bool
    best: float | None = None
    mark: float | None = None
    """The last value that counted as an improvement."""
    waited: int = 0
    """Evaluations since then."""

    def add(self, value: float) -> bool:
        """Takes in one evaluation; whether it is the best so far."""
        threshold = self.stopping.threshold if self.stopping else 0.0
        if self.mark is None or self._gain(value, self.mark) > threshold:
            self.mark, self.waited = value, 0
        else:
            self.waited += 1
        better = self.best is None or self._gain(value, self.best) > 0
        if better:
            self.best = value
        return better

    @property
    def exhausted(self) -> bool:
        """Whether the run should end."""
        return self.stopping is not None and self.waited >= self.stopping.patience

    def state(self) -> ImprovementState:
        """For a checkpoint."""
        return ImprovementState(best=self.best, mark=self.mark, waited=self.waited)

    def restore(self, state: ImprovementState) -> None:
        """Goes on from a checkpoint."""
        self.best, self.mark, self.waited = state["best"], state["mark"], state["waited"]

    def _gain(self, value: float, before: float) -> float:
        return value - before if self.greater_is_better else before - value
