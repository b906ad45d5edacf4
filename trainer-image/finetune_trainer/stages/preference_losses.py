"""Losses on pairs of answers: one function each, from log-probabilities to a loss per pair."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from finetune_api.stages import DpoSpec
from finetune_trainer.stages.likelihoods import Likelihood

SIMPO_MARGIN = 0.5
"""By how much the chosen answer's reward is to be ahead under SimPO (γ); TRL's default."""

WITHOUT_REFERENCE = ("simpo", "orpo")


@dataclass(frozen=True)
class Comparison:
    """Both answers of each pair under the trained model and the reference; all of shape (pairs,)."""

    chosen: Likelihood
    rejected: Likelihood
    reference_chosen: Likelihood
    reference_rejected: Likelihood

    @property
    def chosen_ratio(self) -> torch.Tensor:
        """log π(chosen) − log π_ref(chosen)."""
        return self.chosen.total - self.reference_chosen.total

    @property
    def rejected_ratio(self) -> torch.Tensor:
        """log π(rejected) − log π_ref(rejected)."""
        return self.rejected.total - self.reference_rejected.total

    @property
    def margin(self) -> torch.Tensor:
        """Of the log ratios."""
        return self.chosen_ratio - self.rejected_ratio


PairLoss = Callable[[Comparison, DpoSpec], torch.Tensor]


def sigmoid(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """DPO (Rafailov et al. 2023, eq. 7); with smoothing, its conservative form (Mitchell 2023)."""
    return _smoothed(spec.beta * pairs.margin, spec.label_smoothing)


def hinge(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """SLiC's hinge on the ratios (Liu et al. 2024, RSO, eq. 11)."""
    return torch.relu(1 - spec.beta * pairs.margin)


def ipo(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """IPO (Azar et al. 2024, eq. 17) on ratios per token, as its authors evaluated it."""
    chosen = pairs.chosen_ratio / pairs.chosen.tokens.clamp(min=1)
    rejected = pairs.rejected_ratio / pairs.rejected.tokens.clamp(min=1)
    return (chosen - rejected - 1 / (2 * spec.beta)) ** 2


def robust(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """Unbiased where a share ε of the preferences is flipped (Chowdhury et al. 2024, eq. 12)."""
    margin, flipped = spec.beta * pairs.margin, spec.label_smoothing
    loss = -(1 - flipped) * logsigmoid(margin) + flipped * logsigmoid(-margin)
    return loss / (1 - 2 * flipped)


def bco_pair(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """Each answer classified by itself (Jung et al. 2024), on pairs and without a moving reward."""
    return -logsigmoid(spec.beta * pairs.chosen_ratio) - logsigmoid(-spec.beta * pairs.rejected_ratio)


def simpo(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """SimPO (Meng et al. 2024, eq. 6): log-probabilities per token, no reference."""
    margin = spec.beta * (pairs.chosen.mean - pairs.rejected.mean) - SIMPO_MARGIN
    return _smoothed(margin, spec.label_smoothing)


def orpo(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """ORPO (Hong et al. 2024, eq. 6 and 7): likelihood of the chosen answer, and the odds ratio."""
    odds = _log_odds(pairs.chosen.mean) - _log_odds(pairs.rejected.mean)
    return -pairs.chosen.mean - spec.beta * logsigmoid(odds)


LOSSES: dict[str, PairLoss] = {
    "sigmoid": sigmoid,
    "hinge": hinge,
    "ipo": ipo,
    "robust": robust,
    "bcoPair": bco_pair,
    "simpo": simpo,
    "orpo": orpo,
}
"""By `training.dpo.lossType`."""


def pair_loss(pairs: Comparison, spec: DpoSpec) -> torch.Tensor:
    """The loss of each pair, with `sftWeight` times the negative log-likelihood per token of the chosen
    answer (Pang et al. 2024, eq. 1)."""
    return LOSSES[spec.loss_type](pairs, spec) - spec.sft_weight * pairs.chosen.mean


def rewards(pairs: Comparison, spec: DpoSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """The implicit rewards of both answers: β times the log ratio, or, without a reference, times the
    log-probability per token."""
    if spec.loss_type in WITHOUT_REFERENCE:
        return spec.beta * pairs.chosen.mean, spec.beta * pairs.rejected.mean
    return spec.beta * pairs.chosen_ratio, spec.beta * pairs.rejected_ratio


def _smoothed(margin: torch.Tensor, smoothing: float) -> torch.Tensor:
    return -(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)


def _log_odds(log_probability: torch.Tensor) -> torch.Tensor:
    return log_probability - torch.log1p(-torch.exp(log_probability))
