"""The likelihood of the next token, from a model's logits: with smoothed labels, and for models whose own
loss does not count tokens.

Label smoothing spreads a share of the target over all tokens (Szegedy et al. 2016, section 7). transformers'
own looks up the model's class among those that it knows, to tell whether labels are shifted: it does not find
a compiled model, nor one whose code is the repository's own, and would have these learn to repeat the token
that they read.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from finetune_trainer.data.rendering import IGNORED

Loss = Callable[[Any, torch.Tensor, "torch.Tensor | int"], torch.Tensor]
"""From the model's outputs, the labels, and the items of the global batch."""


def counts_tokens(model: Any) -> bool:
    """Whether the model's own loss is a sum over supervised tokens, divided by those of the global batch.

    That of a repository's own code is mostly the mean over the micro-batch, which gives a token more weight
    the fewer are beside it; and transformers' oldest classes compute theirs by themselves.
    """
    kind = type(model.get_base_model() if hasattr(model, "get_base_model") else model)
    known = kind.__module__.startswith("transformers.")
    return known and "self.loss_function(" in inspect.getsource(kind.forward)


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


def smoothed_loss(share: float, model: Any) -> Loss | None:
    """None where nothing is spread, and the model's own loss will do, which may have kernels of its own."""
    return SmoothedLoss(share) if share or not counts_tokens(model) else None
