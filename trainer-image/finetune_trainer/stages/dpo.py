"""dpo: the preferred of two answers becomes likelier than the other, measured against a reference."""

from typing import Any

import torch

from finetune_api.stages import DpoSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.stages.base import Batch, Objective, Outcome, Setting, Stage, supervised_rows
from finetune_trainer.stages.likelihoods import Likelihood, answer_likelihood
from finetune_trainer.stages.preference_losses import WITHOUT_REFERENCE, Comparison, pair_loss, rewards
from finetune_trainer.stages.reference import Reference, reference_for


class DirectPreference(Objective):
    """All of `training.dpo.lossType`. An item is a pair."""

    metrics = (
        "rewardChosen",
        "rewardRejected",
        "rewardMargin",
        "rewardAccuracy",
        "logProbabilityChosen",
        "logProbabilityRejected",
    )

    def __init__(self, spec: DpoSpec, reference: Reference | None) -> None:
        self.spec = spec
        self.reference = reference

    def items(self, batch: Batch) -> torch.Tensor:
        return _real(batch).sum()

    def loss(self, model: Any, batch: Batch) -> Outcome:
        labels = batch["labels"]
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        policy = answer_likelihood(model(**inputs, use_cache=False).logits, labels)
        if self.reference is None:
            reference = Likelihood(torch.zeros_like(policy.total), policy.tokens)
        else:
            reference = answer_likelihood(self.reference.logits(inputs | {"use_cache": False}), labels)
        # fillers are left out before anything is computed of them: some losses have no gradient there
        real = _real(batch)
        pairs = Comparison(*_sides(policy, real), *_sides(reference, real))
        with torch.no_grad():
            chosen, rejected = rewards(pairs, self.spec)
        return Outcome(
            total=pair_loss(pairs, self.spec).sum(),
            measured={
                "rewardChosen": chosen,
                "rewardRejected": rejected,
                "rewardMargin": chosen - rejected,
                "rewardAccuracy": chosen > rejected,
                "logProbabilityChosen": pairs.chosen.total,
                "logProbabilityRejected": pairs.rejected.total,
            },
        )


def objective(setting: Setting) -> DirectPreference:
    """With the reference that the loss needs."""
    spec = setting.job.spec.training.dpo or DpoSpec()
    without = spec.loss_type in WITHOUT_REFERENCE
    return DirectPreference(spec, None if without else reference_for(setting, spec.reference_model))


def _real(batch: Batch) -> torch.Tensor:
    """Which pairs are no fillers; the first half of the rows are the chosen answers."""
    return supervised_rows(batch["labels"], IGNORED).chunk(2)[0]


def _sides(rows: Likelihood, real: torch.Tensor) -> tuple[Likelihood, Likelihood]:
    """The chosen and the rejected answers of real pairs."""
    chosen, rejected = torch.arange(len(rows.total), device=real.device).chunk(2)
    return rows.of(chosen[real]), rows.of(rejected[real])


STAGE = Stage(objective=objective)
