"""Label smoothing: a share of the target is spread over all tokens (Szegedy et al. 2016, section 7).

transformers' own looks up the model's class among those that it knows, to tell whether labels are shifted: it
does not find a compiled model, nor one whose code is the repository's own, and would have these learn to
repeat the token that they read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from finetune_trainer.data.rendering import IGNORED

Loss = Callable[[Any, torch.Tensor, "torch.Tensor | int"], torch.Tensor]
"""From the model's outputs, the labels, and the items of the global batch."""


@dataclass(frozen=True)
class SmoothedLoss:
    """This micro-batch's share of the mean over the supervised tokens of the global batch."""

    share: float
    """Of the target that is spread, in [0, 1)."""

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int
    ) -> torch.Tensor:
        """From logits of shape (rows, tokens, vocabulary) and labels of shape (rows, tokens), of which the
        first of a row is never predicted. In nats; a scalar."""
        predicted, wanted = outputs["logits"][:, :-1], labels[:, 1:]
        total = cross_entropy(
            predicted.flatten(0, 1).float(),
            wanted.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.share,
        )
        return total / num_items_in_batch


def smoothed_loss(share: float) -> Loss | None:
    """None where nothing is spread: models compute their own loss then, with kernels of their own."""
    return SmoothedLoss(share) if share else None
