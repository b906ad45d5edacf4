"""A loss that runs away is said even where nobody has asked that it end the run.

Silence would make a spoilt run look like a good one; ending it by limits that nobody has set would end paid
runs by mistake.
"""

import logging
from typing import Final, TypedDict

from finetune_api.failure_policy import DivergenceSpec
from finetune_api.training import TrainingSpec
from finetune_trainer.guards import Trend, TrendState
from finetune_trainer.schedules import total_steps

log = logging.getLogger(__name__)

DEVIATIONS: Final = 10.0
"""A batch of unusual records is 3 or 4 deviations away; 10, three times in a row, are no chance."""

FACTOR: Final = 2.0

FLOOR: Final = 0.1
"""Losses below count as this much: what is learnt by heart may double many times over without a word."""

SHARE, SHORTEST, LONGEST = 0.1, 20, 100
"""The window: this share of the run, between so many and so many steps. The longer a run, the more often
chance alone would double the median of a short window."""

AROUND_ZERO: Final = frozenset({"ppo", "grpo"})
"""Stages whose loss is around 0 from the start: these rules do not judge it, as the validator says, too."""


class WatchState(TypedDict):
    """What a checkpoint keeps of a `Watch`."""

    trend: TrendState
    steps: int
    calm: int
    since: int | None


class Watch:
    """Warns of a loss that has left its curve, by the rules of `failurePolicy.divergence` with limits of its
    own, and says when it has been back for a whole window. It ends nothing."""

    def __init__(self, window: int) -> None:
        self.steps = 0
        """Steps since the start of the run whose loss was off its curve."""
        self._since: int | None = None
        self._calm = 0
        self._window = window
        limits = DivergenceSpec(spike_deviations=DEVIATIONS, loss_increase_factor=FACTOR, window_steps=window)
        self._trend = Trend(limits, floor=FLOOR, rules="the default watch's ")

    def see(self, step: int, loss: float) -> str | None:
        """Takes in the loss of a step; what is new about the curve, in words, or None."""
        problem = self._trend.problem(loss)
        if problem is not None:
            self.steps += 1
            self._calm = 0
            if self._since is not None:
                return None
            self._since = step
            return f"step {step}: {problem}. Training goes on: failurePolicy.divergence could end it"
        self._calm += 1
        if self._since is None or self._calm < self._window:
            return None
        since, self._since = self._since, None
        return f"the loss was off its curve from step {since} to {step - self._calm}, and is back"

    @property
    def last_word(self) -> str | None:
        """What the message of a run must say that ends with a loss off its curve; None where it is on it."""
        if self._since is None:
            return None
        return f"the loss left its curve at step {self._since} and has not come back, so look at it first"

    def state(self) -> WatchState:
        """For a checkpoint."""
        return WatchState(trend=self._trend.state(), steps=self.steps, calm=self._calm, since=self._since)

    def restore(self, state: WatchState) -> None:
        """Goes on as if the steps before had just been seen."""
        self._trend.restore(state["trend"])
        self.steps, self._calm, self._since = state["steps"], state["calm"], state["since"]


def watch(training: TrainingSpec, steps_per_epoch: int) -> Watch | None:
    """What watches a run's loss; None for stages whose loss says nothing of this kind."""
    if training.stage in AROUND_ZERO:
        return None
    return Watch(min(LONGEST, max(SHORTEST, round(SHARE * total_steps(training, steps_per_epoch)))))
