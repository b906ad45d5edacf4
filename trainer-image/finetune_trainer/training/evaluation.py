"""Sums over evaluation batches, from which loss, perplexity and token accuracy are made."""

from collections.abc import Mapping

import torch

from finetune_api.evaluation import EvaluationSpec
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.metrics import measured_in, perplexity


class EvaluationSums:
    """What one evaluation adds up. It stays on the device for `evaluation.accumulationSteps` passes (all
    when absent), so that the host seldom waits for the device."""

    def __init__(self, spec: EvaluationSpec, device: torch.device) -> None:
        self._accuracy = "tokenAccuracy" in spec.metrics
        self._every = spec.accumulation_steps
        self._here = torch.zeros(3, dtype=torch.float64, device=device)
        self._total = torch.zeros(3, dtype=torch.float64)
        self._passes = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor | None, labels: torch.Tensor) -> None:
        """Takes in a batch: its loss summed over supervised tokens, logits of shape (sequences, tokens,
        vocabulary), labels of shape (sequences, tokens), -100 where nothing is supervised."""
        wanted = labels[:, 1:]
        supervised = wanted != -100
        if self._accuracy and logits is not None:
            self._here[2] += ((logits[:, :-1].argmax(-1) == wanted) & supervised).sum()
        self.add_items(loss, supervised.sum())

    def add_items(self, loss: torch.Tensor, items: torch.Tensor) -> None:
        """Takes in a batch of what an objective counts: its loss summed over them, and their number."""
        self._here[0] += loss.double()
        self._here[1] += items
        self._passes += 1
        if self._every is not None and self._passes % self._every == 0:
            self._move()

    def metrics(self) -> dict[str, float]:
        """Means over all items of all ranks, as transformers names them."""
        self._move()
        loss, tokens, correct = sum_over_ranks(*self._total.tolist())
        means = {"eval_loss": loss / tokens}
        return means | {"eval_token_accuracy": correct / tokens} if self._accuracy else means

    def _move(self) -> None:
        self._total += self._here.cpu()
        self._here.zero_()


def scores(metrics: Mapping[str, float], *, likelihood: bool = True) -> dict[str, float]:
    """The metrics of an evaluation by the API's names: loss, perplexity and tokenAccuracy where the loss is a
    likelihood (nats per token), and what the stage measured."""
    found = {"loss": metrics["eval_loss"]}
    if likelihood:
        found["perplexity"] = perplexity(metrics["eval_loss"])
    if "eval_token_accuracy" in metrics:
        found["tokenAccuracy"] = metrics["eval_token_accuracy"]
    return found | measured_in(metrics, prefix="eval_")


def named(scores: Mapping[str, float], only: EvaluationSpec | None = None) -> dict[str, float]:
    """Scores as files and status name them; with `only`, the loss and what was asked for beside it."""
    found = {_named(name): value for name, value in scores.items()}
    return found if only is None else {name: found[name] for name in shown_scores(only) if name in found}


def shown_scores(spec: EvaluationSpec) -> list[str]:
    """Names of the scores that the status shows: the loss, and what was asked for beside it."""
    return [_named(name) for name in dict.fromkeys(("loss", *spec.metrics))]


def _named(score: str) -> str:
    return f"eval{score[0].upper()}{score[1:]}"
