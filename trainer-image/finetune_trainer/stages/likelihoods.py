"""How likely a model finds answers."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from finetune_trainer.data.rendering import IGNORED


@dataclass(frozen=True)
class Likelihood:
    """Of the answers of a batch, in nats; both of shape (rows,)."""

    total: torch.Tensor
    """Sum of the log-probabilities of the answer's tokens."""
    tokens: torch.Tensor
    """How many these are; 0 for a filler."""

    @property
    def mean(self) -> torch.Tensor:
        """Log-probability per token; 0 for a filler."""
        return self.total / self.tokens.clamp(min=1)

    def of(self, rows: torch.Tensor) -> "Likelihood":
        """That of some rows."""
        return Likelihood(self.total[rows], self.tokens[rows])


def answer_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> Likelihood:
    """From logits of shape (rows, tokens, vocabulary) and labels of shape (rows, tokens); the first token of
    a row is never predicted."""
    targets = labels[:, 1:]
    return Likelihood(token_log_probabilities(logits, labels).sum(dim=1), (targets != IGNORED).sum(dim=1))


def token_log_probabilities(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of each label but the first, in fp32, of shape (rows, tokens − 1); 0 where it is not counted."""
    scores = logits[:, :-1].float().transpose(1, 2)
    return -cross_entropy(scores, labels[:, 1:], ignore_index=IGNORED, reduction="none")
