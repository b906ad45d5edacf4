"""dpo: the preferred of two answers becomes likelier than the other, measured against a reference."""

from typing import Any

import torch

from finetune_api.stages import DpoSpec
from finetune_trainer.data.preferences import prepare_pairs
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
        pairs = Comparison(*_halves(policy), *_halves(reference))
        real = _real(batch)
        with torch.no_grad():
            chosen, rejected = (side[real] for side in rewards(pairs, self.spec))
        return Outcome(
            total=pair_loss(pairs, self.spec)[real].sum(),
            measured={
                "rewardChosen": chosen,
                "rewardRejected": rejected,
                "rewardMargin": chosen - rejected,
                "rewardAccuracy": chosen > rejected,
                "logProbabilityChosen": pairs.chosen.total[real],
                "logProbabilityRejected": pairs.rejected.total[real],
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


def _halves(rows: Likelihood) -> tuple[Likelihood, Likelihood]:
    totals, tokens = rows.total.chunk(2), rows.tokens.chunk(2)
    return Likelihood(totals[0], tokens[0]), Likelihood(totals[1], tokens[1])


STAGE = Stage(prepare=prepare_pairs, objective=objective)
