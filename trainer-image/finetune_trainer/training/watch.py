"""A loss that runs away is said even where nobody has asked that it end the run.

Silence would make a spoilt run look like a good one; ending it by limits that nobody has set would end paid
runs by mistake.
"""

import math
from collections import deque
from statistics import fmean, median, stdev
from typing import Final, NamedTuple, NotRequired, TypedDict

from finetune_api.training import TrainingSpec
from finetune_trainer.data.sampling import GlobalOrder, total_steps

FACTOR: Final = 2.0

FLOOR: Final = 0.1
"""Levels below count as this much: what is learnt by heart may double many times over without a word."""

STANDARD_ERRORS: Final = 4.0
"""Of the difference of two means; by so much chance hardly ever moves it."""

SHARE, SHORTEST, LONGEST = 0.1, 20, 100
"""The window: this share of the run, between so many and so many steps. The longer a run, the more often
chance alone would double the level of a short window."""

FIRST_RECORDS: Final = 4
"""So many records at the start of a run tell what the loss was before anything was learned."""

AROUND_ZERO: Final = frozenset({"ppo", "grpo"})
"""Stages whose loss is around 0 from the start: these rules do not judge it, as the validator says, too."""


class Level(NamedTuple):
    """Of some losses in a row."""

    median: float
    mean: float
    deviation: float
    steps: int


class LevelState(TypedDict):
    """What a checkpoint keeps of the levels."""

    recent: list[float]
    lowest: tuple[float, tuple[float, float, float, int]] | None


class WatchState(TypedDict):
    """What a checkpoint keeps of a `Watch`."""

    level: NotRequired[LevelState]
    """Checkpoints of older trainers have none."""
    steps: int
    calm: int
    since: int | None


class Watch:
    """Warns of a loss that has doubled since its lowest, and says when it has been back for a whole window.
    It ends nothing.

    A level is the median and the mean of a window. Both must have doubled, and the mean by more than chance
    moves it: where there are two kinds of records (answers of a word, and essays), the median of a window is
    that of one or the other, and a few unusual records move the mean. The first steps are a level too: a rate
    that is too high may spoil a model before a window is full.
    """

    def __init__(self, window: int, first: int = 1) -> None:
        """`first` steps tell what the loss was before anything was learned."""
        self.steps = 0
        """Steps since the start of the run whose loss was off its curve."""
        self._since: int | None = None
        self._calm = 0
        self._window = window
        self._first = min(first, window)
        self._recent: deque[float] = deque(maxlen=window)
        self._lowest: tuple[float, Level] | None = None
        """The lowest median, and the level with the lowest mean."""

    def see(self, step: int, loss: float) -> str | None:
        """Takes in the loss of a step; what is new about the curve, in words, or None."""
        problem = self._risen(loss)
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

    def _risen(self, loss: float) -> str | None:
        self._recent.append(loss)
        if len(self._recent) not in (self._first, self._window):
            return None
        now = _level(self._recent)
        middle, lowest = self._lowest or (now.median, now)
        middle, lowest = min(middle, now.median), min(lowest, now, key=lambda level: level.mean)
        self._lowest = middle, lowest
        spread = max(now.deviation, lowest.deviation)
        chance = STANDARD_ERRORS * spread * math.sqrt(1 / now.steps + 1 / lowest.steps)
        doubled = _is_double(now.median, middle) and _is_double(now.mean, lowest.mean)
        # what is known to be off its curve is not back by chance either
        if not doubled or (self._since is None and now.mean - lowest.mean <= chance):
            return None
        return (
            f"the loss (median of {now.steps} steps) is {now.median:.4g} and was {middle:.4g}, more than "
            f"{FACTOR:g} times as much"
        )

    @property
    def last_word(self) -> str | None:
        """What the message of a run must say that ends with a loss off its curve; None where it is on it."""
        if self._since is None:
            return None
        return f"the loss left its curve at step {self._since} and has not come back, so look at it first"

    def state(self) -> WatchState:
        """For a checkpoint."""
        level = LevelState(recent=list(self._recent), lowest=self._lowest)
        return WatchState(level=level, steps=self.steps, calm=self._calm, since=self._since)

    def restore(self, state: WatchState) -> None:
        """Goes on as if the steps before had just been seen."""
        self.steps, self._calm, self._since = state["steps"], state["calm"], state["since"]
        if (level := state.get("level")) is not None:
            self._recent.extend(level["recent"])
            self._lowest = (level["lowest"][0], Level(*level["lowest"][1])) if level["lowest"] else None


def _level(losses: deque[float]) -> Level:
    deviation = stdev(losses) if len(losses) > 1 else 0.0
    return Level(median(losses), fmean(losses), deviation, len(losses))


def _is_double(now: float, before: float) -> bool:
    return now > FACTOR * max(before, FLOOR)


def watch(training: TrainingSpec, order: GlobalOrder) -> Watch | None:
    """What watches a run's loss; None where it says nothing of this kind: around zero, or of records in an
    order of their own, where the next ones may be harder, as in a curriculum."""
    if training.stage in AROUND_ZERO or not order.shuffle:
        return None
    steps = total_steps(training, order.steps_per_epoch)
    window = min(LONGEST, max(SHORTEST, round(SHARE * steps)))
    # under groupByLength the first step is no step like the others: it has the longest records
    first = window if order.lengths is not None else -(-FIRST_RECORDS // order.global_batch)
    return Watch(window, first)
