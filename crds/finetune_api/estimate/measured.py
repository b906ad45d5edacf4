"""The estimate once a run has been measured: what its steps took and held, instead of a prediction. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, Self

from finetune_api.estimate.cost import Cost, cost
from finetune_api.estimate.memory import beyond_torch, memory
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import UnknownArchitectureError, setup_for
from finetune_api.hardware import Accelerator, HardwareCatalog
from finetune_api.job import FineTuneJob

MIN_STEPS: Final = 20
"""Steps after which a run's speed says something: the first few compile kernels and fill caches."""


@dataclass(frozen=True)
class Measured:
    """What a run has shown so far."""

    steps: int
    total_steps: int
    tokens_per_step: float
    tokens_per_second: float
    """Of all ranks together."""
    peak_memory: float | None
    """Bytes that torch had allocated on one device at most, or the process' resident memory on CPU; None
    where nobody reported it."""

    @property
    def seconds_per_step(self) -> float:
        """Time of one optimizer step."""
        return self.tokens_per_step / self.tokens_per_second

    @classmethod
    def of(cls, steps: int, total_steps: int, tokens: int | None, metrics: Mapping[str, str]) -> Self | None:
        """From a trainer's report: `tokensPerSecond` and `peakMemoryBytes` are decimal strings. None where it
        does not tell the speed, as other programs than our trainer do not."""
        speed, peak = _positive(metrics.get("tokensPerSecond")), _positive(metrics.get("peakMemoryBytes"))
        if speed is None or not tokens or steps < 1:
            return None
        return cls(steps, total_steps, tokens / steps, speed, peak)


@dataclass(frozen=True)
class Expectation:
    """What to expect of the whole run after all."""

    seconds: float
    """Seconds of training, from the first step to the last."""
    memory: float | None
    """Bytes of one device: what torch allocated, and what is predicted to be held beyond that."""
    cost: Cost | None
    """None where nobody knows the accelerator."""


def expected_after(
    job: FineTuneJob, measured: Measured, accelerator: Accelerator | None, catalog: HardwareCatalog
) -> Expectation:
    """The expectation that follows from a measured run of `job`.

    Seconds = steps × tokens of a step / tokens per second; money, energy and carbon follow from the seconds
    as in `cost`. What torch does not hold, the overhead and paged states, can't be seen from inside and stays
    as predicted.
    """
    seconds = measured.total_steps * measured.seconds_per_step
    if accelerator is None:
        return Expectation(seconds, measured.peak_memory, None)
    try:
        setup = setup_for(job, accelerator)
    except UnknownArchitectureError:
        return Expectation(seconds, measured.peak_memory, None)
    held = measured.peak_memory
    if held is not None:
        held += beyond_torch(setup, memory(setup).parts)
    return Expectation(seconds, held, cost(Range.exactly(seconds), setup.ranks, accelerator, catalog))


def _positive(text: str | None) -> float | None:
    """A decimal above zero; None for anything else that a report may hold."""
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if value > 0 and isfinite(value) else None
