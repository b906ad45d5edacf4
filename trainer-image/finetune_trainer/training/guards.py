"""When a run must not go on: a loss or a gradient that is not a number, or a loss that runs away."""

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypedDict

import torch
import torch.distributed as dist

from finetune_api.failure_policy import DivergenceSpec
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.distributed import any_rank
from finetune_trainer.errors import DivergedError

SHOWN_RECORDS = 16

MAX_OVERFLOWS = 32
"""fp16: so many steps in a row may be skipped for an infinite gradient. The scale starts at 2¹⁶ and is halved
each time: after 32 it is not the scale that is at fault."""

SPIKES = 3
"""So many outliers in a row are no bad batch any more, but a run that has left its curve."""

NORMAL = 1.4826
"""A normal distribution's standard deviation is this many median absolute deviations."""

LEAST_SPREAD = 0.01
"""Share of the median below which the spread of a quiet window is not taken."""


class TrendState(TypedDict):
    """What a checkpoint keeps of a `Trend`."""

    recent: list[float]
    usual: list[float]
    lowest: float | None
    spikes: int


class Trend:
    """Judges the loss curve by `failurePolicy.divergence`.

    The smoothed loss is the median of the last `windowSteps` losses. A loss is an outlier when it is above
    m + k · max(1.4826 · MAD, 0.01 · m), where k is `spikeDeviations`, m the median and MAD the median
    absolute deviation of the last `windowSteps` losses that were none. Nothing is judged before a window is
    full.
    """

    def __init__(self, limits: DivergenceSpec) -> None:
        self.limits = limits
        self._recent: deque[float] = deque(maxlen=limits.window_steps)
        self._usual: deque[float] = deque(maxlen=limits.window_steps)
        self._lowest: float | None = None
        self._spikes = 0

    def problem(self, loss: float) -> str | None:
        """Takes in the loss of one step; what is wrong with the curve now, in words, or None."""
        self._recent.append(loss)
        return self._outliers(loss) or self._level()

    def state(self) -> TrendState:
        """For a checkpoint."""
        return TrendState(
            recent=list(self._recent), usual=list(self._usual), lowest=self._lowest, spikes=self._spikes
        )

    def restore(self, state: TrendState) -> None:
        """Goes on as if the losses before had just been seen."""
        self._recent.extend(state["recent"])
        self._usual.extend(state["usual"])
        self._lowest, self._spikes = state["lowest"], state["spikes"]

    def _outliers(self, loss: float) -> str | None:
        deviations, steps = self.limits.spike_deviations, self.limits.window_steps
        if deviations is None:
            return None
        if len(self._usual) == steps:
            middle = median(self._usual)
            spread = NORMAL * median(abs(other - middle) for other in self._usual)
            limit = middle + deviations * max(spread, LEAST_SPREAD * abs(middle))
            if loss > limit:
                self._spikes += 1
                if self._spikes < SPIKES:
                    return None
                return (
                    f"{SPIKES} losses in a row are outliers: {loss:.4g} is above {limit:.4g}, by "
                    f"failurePolicy.divergence.spikeDeviations: {deviations:g} (median of {steps} steps: "
                    f"{middle:.4g})"
                )
        self._spikes = 0
        self._usual.append(loss)
        return None

    def _level(self) -> str | None:
        limits = self.limits
        if len(self._recent) < limits.window_steps:
            return None
        smoothed = median(self._recent)
        self._lowest = smoothed if self._lowest is None else min(self._lowest, smoothed)
        if limits.max_loss is not None and smoothed > limits.max_loss:
            return (
                f"the loss (median of {limits.window_steps} steps) is {smoothed:.4g}, above "
                f"failurePolicy.divergence.maxLoss: {limits.max_loss:g}"
            )
        factor = limits.loss_increase_factor
        if factor is not None and smoothed > factor * self._lowest:
            return (
                f"the loss (median of {limits.window_steps} steps) is {smoothed:.4g} and was "
                f"{self._lowest:.4g}: more than failurePolicy.divergence.lossIncreaseFactor: {factor:g} "
                "times as much"
            )
        return None


@dataclass
class Guard:
    """Looks at every step, on every rank alike, before anything of it is saved."""

    data: TrainingData
    order: GlobalOrder
    micro_batch: int
    rank: int
    ranks: int
    scaled: bool
    """Whether a loss scaler is at work (fp16): it skips steps with an infinite gradient, which is no
    divergence."""
    trend: Trend | None
    micro_losses: list[torch.Tensor] = field(default_factory=list)
    """This rank's losses of the current step, one per micro-batch; the trainer appends to it. They stay on
    the device until somebody has to look."""
    overflows: int = 0
    """Steps in a row, up to now, with a gradient that is not finite."""
    skipped: int = 0
    """Steps that the loss scaler has skipped since the start of the run."""

    def check(self, step: int, loss: float, gradient: float | None, *, weights_are_finite: bool) -> None:
        """Looks at the loss of the global batch and the norm of its gradient (None where it is not known).

        Raises `DivergedError`, on every rank.
        """
        micro_losses, self.micro_losses[:] = list(self.micro_losses), []
        good = gradient is None or is_a_norm(gradient)
        self.overflows = 0 if good else self.overflows + 1
        if self.scaled:
            self.skipped += not good
            good = self.overflows <= MAX_OVERFLOWS
        if not (math.isfinite(loss) and good and weights_are_finite):
            raise DivergedError(
                f"step {step}: loss {loss}, gradient norm {_shown(gradient)}. "
                f"{self._records(step, micro_losses)}. The last checkpoint is from before. Lower "
                "training.learningRate, set training.maxGradNorm, or look at these records"
            )
        problem = self.trend.problem(loss) if self.trend else None
        if problem is not None:
            raise DivergedError(
                f"step {step}: {problem}. Lower training.learningRate, lengthen "
                "training.schedule.warmupSteps, or loosen the limit"
            )

    def _records(self, step: int, micro_losses: list[torch.Tensor]) -> str:
        """Files and lines of the micro-batches that are at fault; of the whole step where none stands out."""
        indices = self.order.step(step - 1)
        faulty = [False] * (len(indices) // self.micro_batch)
        for number, loss in enumerate(micro_losses):
            faulty[number * self.ranks + self.rank] = not bool(torch.isfinite(loss).all())
        marks = any_rank(*faulty)
        chosen = [index for place, index in enumerate(indices) if marks[place // self.micro_batch]]
        origins = self.data.origins(chosen or indices)
        what = "Records whose loss is not a number" if chosen else "Records of this step"
        more = f"; and {len(origins) - SHOWN_RECORDS} more" if len(origins) > SHOWN_RECORDS else ""
        return f"{what}: {'; '.join(map(str, origins[:SHOWN_RECORDS]))}{more}"


def is_a_norm(gradient: float) -> bool:
    """Whether a reported norm is one: DeepSpeed says −1 for a gradient that is not finite."""
    return math.isfinite(gradient) and gradient >= 0


def are_finite(model: torch.nn.Module) -> bool:
    """Whether every trained weight is a number; under ZeRO-3 every one of this rank's share."""
    trained = [_held(weight).detach() for weight in model.parameters() if weight.requires_grad]
    if not trained:
        return True
    # a sum with one that is none is none either, and is found in a fraction of the time; and the host waits
    # for a GPU once, not for every weight
    sums = torch.stack([values.sum().to(trained[0].device, torch.float64) for values in trained])
    # but a sum of numbers may be too large for their type
    return bool(torch.isfinite(sums).all()) or all(bool(torch.isfinite(values).all()) for values in trained)


def refuse_bad_weights(model: torch.nn.Module, step: int, what: str) -> None:
    """Raises `DivergedError` on every rank when a trained weight of any of them is not a number, so that such
    weights never become `what`."""
    (bad,) = any_rank(not are_finite(model))
    if bad:
        raise DivergedError(
            f"step {step}: a trained weight is not finite, though loss and gradients were. Nothing is "
            f"written as {what}; the last checkpoint is from before. Lower training.learningRate, or use "
            "training.precision: bf16 where it is fp16"
        )


def _held(weight: torch.Tensor) -> torch.Tensor:
    """What this rank holds of a weight. The end of ZeRO-3's last share is padding that nobody has filled."""
    share: torch.Tensor | None = getattr(weight, "ds_tensor", None)
    if share is None:
        return weight
    whole: Any = weight
    left = whole.ds_numel - share.numel() * dist.get_rank(whole.ds_process_group)
    return share.flatten()[: max(left, 0)]


def _shown(gradient: float | None) -> str:
    if gradient is None:
        return "unknown"
    return f"{gradient:.6g}" if is_a_norm(gradient) else "not finite"
