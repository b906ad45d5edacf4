"""kto: answers that are desired or not, each by itself, become likelier or less likely than under a
reference."""

from typing import Any

import torch

from finetune_api.stages import KtoSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.distributed import sum_over_ranks
from finetune_trainer.stages.base import Batch, Objective, Outcome, Setting, Stage, supervised_rows
from finetune_trainer.stages.likelihoods import Likelihood, answer_likelihood
from finetune_trainer.stages.reference import Reference, reference_for, without_training


class KahnemanTversky(Objective):
    """KTO (Ethayarajh et al. 2024, eq. 7 and 8). An item is an answer.

    The reward of an answer is its log ratio to the reference, and counts from a point: the mean log ratio of
    answers to prompts that they do not belong to, over the micro-batches that all ranks compute at once, and
    at least 0.
    """

    metrics = ("rewardChosen", "rewardRejected", "kl")

    def __init__(self, spec: KtoSpec, model: torch.nn.Module, reference: Reference) -> None:
        self.spec = spec
        self.model = model
        self.reference = reference

    def items(self, batch: Batch) -> torch.Tensor:
        return supervised_rows(batch["labels"], IGNORED).sum()

    def loss(self, model: Any, batch: Batch) -> Outcome:
        point = self._reference_point(batch)
        inputs, labels = _inputs(batch), batch["labels"]
        policy = answer_likelihood(model(**inputs).logits, labels)
        reference = answer_likelihood(self.reference.logits(inputs), labels)
        real = supervised_rows(labels, IGNORED)
        ratio, desired = (policy.total - reference.total)[real], batch["desired"][real]
        beta = self.spec.beta
        gain = 1 - torch.sigmoid(beta * (ratio - point))
        loss = 1 - torch.sigmoid(beta * (point - ratio))
        losses = torch.where(desired, self.spec.desirable_weight * gain, self.spec.undesirable_weight * loss)
        rewards = beta * ratio.detach()
        return Outcome(
            total=losses.sum(),
            measured={
                "rewardChosen": rewards[desired],
                "rewardRejected": rewards[~desired],
                "kl": torch.tensor([point]),
            },
        )

    def _reference_point(self, batch: Batch) -> float:
        inputs, labels = _inputs(batch, "other_"), batch["other_labels"]
        with without_training(self.model):
            policy = answer_likelihood(self.model(**inputs).logits, labels)
        reference = answer_likelihood(self.reference.logits(inputs), labels)
        ratio = _real(policy) - _real(reference)
        total, count = sum_over_ranks(float(ratio.sum()), float(len(ratio)))
        return max(0.0, total / count) if count else 0.0


def objective(setting: Setting) -> KahnemanTversky:
    """As the job asks, held to the model as it started."""
    spec = setting.job.spec.training.kto or KtoSpec()
    return KahnemanTversky(spec, setting.model, reference_for(setting))


def _inputs(batch: Batch, prefix: str = "") -> dict[str, Any]:
    names = ("input_ids", "attention_mask")
    return {name: batch[f"{prefix}{name}"] for name in names} | {"use_cache": False}


def _real(rows: Likelihood) -> torch.Tensor:
    return rows.total[rows.tokens > 0]


STAGE = Stage(objective=objective)
