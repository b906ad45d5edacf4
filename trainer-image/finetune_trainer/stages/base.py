"""What a stage is: which head the model has, how a micro-batch becomes a loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from finetune_api.resolved import ResolvedJob
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.model.heads import LANGUAGE, Head
from finetune_trainer.model.tokenizers import Tokenizer

Batch = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Outcome:
    """What one micro-batch gives."""

    total: torch.Tensor
    """The sum of the loss over the batch's items: a scalar, with its gradient."""
    measured: Mapping[str, torch.Tensor]
    """Values by the names of `docs/metrics.md`; of each, the mean over all values of a step is reported."""


@dataclass(frozen=True)
class Setting:
    """What an objective is made for."""

    job: ResolvedJob
    base: str
    """Directory or hub id of the base model."""
    precision: Precision
    tokenizer: Tokenizer
    model: torch.nn.Module
    """The model that is trained, as it is before DeepSpeed or DDP wrap it."""
    accelerator: Accelerator


class Objective(ABC):
    """Turns a micro-batch into a loss.

    The trainer divides by the items of the whole global batch, so that neither accumulation nor the number of
    ranks changes what a step learns.
    """

    metrics: tuple[str, ...]
    """Names of all that `loss` may measure, the same on every rank."""

    @abstractmethod
    def items(self, batch: Batch) -> torch.Tensor:
        """How many items of the batch count (fillers do not): a scalar."""

    @abstractmethod
    def loss(self, model: torch.nn.Module, batch: Batch) -> Outcome:
        """The loss of a micro-batch under the model, which may be wrapped. All ranks call it alike."""

    def begin_step(self, _step: int, batches: Sequence[Batch]) -> Sequence[Batch]:
        """The micro-batches of an optimizer step (counted from 0) as `loss` gets them, for objectives that
        look at the whole step first. All ranks call it alike."""
        return batches

    def evaluate(self, model: torch.nn.Module, batch: Batch) -> Outcome:
        """The loss of a micro-batch of the evaluation data."""
        return self.loss(model, batch)

    def kept(self, _step: int) -> list[dict[str, torch.Tensor]]:
        """What this rank must have to go on exactly after this many steps, beside the weights; most
        objectives need nothing."""
        return []

    def restore(self, kept: list[dict[str, torch.Tensor]]) -> None:
        """Takes up what `kept` gave; called only where that was something."""
        raise AssertionError(f"{type(self).__name__} kept nothing, and gets {len(kept)} batches")


@dataclass(frozen=True)
class Stage:
    """One value of `training.stage`."""

    head: Head = LANGUAGE
    """What the model ends with."""
    objective: Callable[[Setting], Objective] | None = None
    """How the loss is computed; None: the likelihood of the next token, which models compute themselves."""


def supervised_rows(labels: torch.Tensor, ignored: int) -> torch.Tensor:
    """Which rows of labels, of shape (rows, tokens), have a label that counts; fillers have none."""
    counts: torch.Tensor = (labels[:, 1:] != ignored).any(dim=1)
    return counts
