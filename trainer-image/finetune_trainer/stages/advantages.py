"""How much better a token was than expected."""

from collections.abc import Callable, Sequence

import torch


def estimate(
    rewards: torch.Tensor, values: torch.Tensor, answered: torch.Tensor, discount: float, decay: float
) -> torch.Tensor:
    """Generalised advantage estimate (Schulman et al. 2016, eq. 16): δ_t = r_t + γ V_{t+1} − V_t, and
    A_t = δ_t + γ λ A_{t+1}; all of shape (rows, tokens), 0 outside the answer, behind which nothing is
    expected."""
    expected = values * answered
    following = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(following)
    found = torch.zeros_like(rewards)
    for token in reversed(range(rewards.shape[1])):
        surprise = rewards[:, token] + discount * next_value - expected[:, token]
        following = (surprise + discount * decay * following) * answered[:, token]
        found[:, token] = following
        next_value = expected[:, token]
    return found


def centered(
    values: Sequence[torch.Tensor],
    counted: Sequence[torch.Tensor],
    total: Callable[..., tuple[float, ...]],
) -> list[torch.Tensor]:
    """The values of all micro-batches less the mean of what is counted; `total` sums over ranks."""
    mean, _ = _moments(values, counted, total)
    return [value - mean for value in values]


def whitened(
    values: Sequence[torch.Tensor],
    counted: Sequence[torch.Tensor],
    total: Callable[..., tuple[float, ...]],
) -> list[torch.Tensor]:
    """The values of all micro-batches with mean 0 and variance 1 over what is counted; `total` sums over
    ranks."""
    mean, variance = _moments(values, counted, total)
    return [(value - mean) / (variance + 1e-8) ** 0.5 for value in values]


def _moments(
    values: Sequence[torch.Tensor],
    counted: Sequence[torch.Tensor],
    total: Callable[..., tuple[float, ...]],
) -> tuple[float, float]:
    """Mean and variance of what is counted, over all micro-batches and ranks."""
    chosen = torch.cat([value[mask] for value, mask in zip(values, counted, strict=True)]).double()
    summed, squares, count = total(float(chosen.sum()), float((chosen**2).sum()), float(len(chosen)))
    mean = summed / max(count, 1.0)
    return mean, max(squares / max(count, 1.0) - mean**2, 0.0)
