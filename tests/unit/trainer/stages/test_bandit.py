"""ppo and grpo on a bandit whose rewards are known: what is rewarded becomes likelier, in every run, and the
parts of a step are what the papers say."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bandit import LONGEST, PROMPTS, ROWS, Bandit, Itself, Judge, learn, rises, sampler
from finetune_api.stages import GrpoSpec, PpoSpec
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.stages.drawn import DrawnAnswers, without_dropout
from finetune_trainer.stages.grpo import GroupRelative
from finetune_trainer.stages.ppo import ProximalPolicy
from finetune_trainer.stages.reward_functions import REWARDS, Answer

SEEDS = range(1, 1 + int(os.environ.get("FINETUNE_SEEDS", "2")))

Make = Callable[[Bandit, int], DrawnAnswers]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("ppo", "grpo"):
        monkeypatch.setattr(f"finetune_trainer.stages.{stage}.sum_over_ranks", lambda *values: values)
    monkeypatch.setitem(REWARDS, "contains", wanted)


def wanted(answer: Answer) -> float:
    return answer.text.split().count("5") / LONGEST


def ppo(judge: Judge | None = None, **settings: Any) -> Make:
    def make(model: Bandit, seed: int) -> DrawnAnswers:
        reward_model: Any = judge or Judge()
        spec = PpoSpec(**({"kl_coefficient": 0.01, "updates_per_batch": 2} | settings))
        return ProximalPolicy(spec, sampler(model, seed), frozen(model, seed), reward_model)

    return make


def grpo(**settings: Any) -> Make:
    def make(model: Bandit, seed: int) -> DrawnAnswers:
        spec = GrpoSpec(reward_functions=["contains"], **settings)
        return GroupRelative(spec, sampler(model, seed), frozen(model, seed))

    return make


def frozen(model: Bandit, seed: int) -> Itself:
    reference = Itself(Bandit(seed))
    without_dropout(reference.model)
    return reference


def rewards(make: Make, seed: int, *, batches: int = 24, rate: float = 1e-2) -> list[float]:
    model = Bandit(seed)
    return learn(model, make(model, seed), batches=batches, rate=rate)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(ppo(), id="ppo"),
        pytest.param(ppo(updates_per_batch=1), id="ppo, one pass"),
        pytest.param(ppo(Judge(offset=10.0)), id="ppo, rewards far above zero"),
        pytest.param(ppo(Judge(scale=0.01), kl_coefficient=0.0), id="ppo, small rewards"),
        pytest.param(grpo(), id="grpo"),
        pytest.param(grpo(updates_per_batch=2, kl_coefficient=0.02), id="grpo, two passes and a reference"),
    ],
)
def test_the_reward_rises_in_every_run(make: Make) -> None:
    risen = [seed for seed in SEEDS if rises(rewards(make, seed))]
    assert risen == list(SEEDS)


@pytest.mark.parametrize("make", [ppo(), grpo()], ids=["ppo", "grpo"])
def test_without_learning_it_does_not(make: Make) -> None:
    assert sum(rises(rewards(make, seed, rate=0.0)) for seed in SEEDS) <= len(SEEDS) // 10


def test_a_strong_reference_holds_the_policy() -> None:
    """The divergence costs more than there is to win."""
    free, held = (rewards(ppo(kl_coefficient=weight), 1) for weight in (0.0, 10.0))
    assert free[-1] > 0.8
    assert held[-1] < 0.4


def drawn(make: Make, seed: int = 1) -> tuple[Bandit, DrawnAnswers, dict[str, torch.Tensor]]:
    model = Bandit(seed)
    objective = make(model, seed)
    (batch,) = objective.begin_step(0, [PROMPTS])
    return model.train(), objective, dict(batch)


@pytest.mark.parametrize("make", [ppo(), grpo(updates_per_batch=2)], ids=["ppo", "grpo"])
def test_the_first_pass_learns_from_the_policy_that_drew(make: Make) -> None:
    """Every ratio is 1, although the model is in train mode and has dropout."""
    model, objective, batch = drawn(make)
    labels = batch["labels"]
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    now = objective.sampler.log_probabilities(model(**inputs).logits, labels)
    assert torch.equal(now, batch["before"])
    assert not objective.loss(model, batch).measured["clipShare"].any()


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_where_the_reward_models_zero_is_means_nothing(offset: float) -> None:
    _, _, plain = drawn(ppo())
    _, _, moved = drawn(ppo(Judge(offset=offset)))
    torch.testing.assert_close(moved["advantage"], plain["advantage"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(moved["reward"], plain["reward"] + offset)


def test_fillers_do_not_move_the_mean_of_the_scores() -> None:
    real = torch.arange(ROWS) < ROWS // 2
    model = Bandit(1)
    objective = ppo(Judge(offset=3.0))(model, 1)
    (batch,) = objective.begin_step(0, [PROMPTS | {"real": real}])
    last = (batch["labels"][:, 1:] != IGNORED).sum(dim=1) - 1
    gains = batch["return"][torch.arange(ROWS), last]
    assert float(gains[real].mean()) == pytest.approx(0, abs=1e-5)


def test_a_token_that_is_likelier_than_under_the_reference_costs() -> None:
    """Alone: nothing is rewarded, and the values are 0, so that returns are what is still to be paid."""

    def make(model: Bandit, seed: int) -> DrawnAnswers:
        nothing: Any = Judge(scale=0.0)
        spec = PpoSpec(kl_coefficient=0.5, gae_lambda=1.0)
        return ProximalPolicy(spec, sampler(model, seed), frozen(model, seed + 1), nothing)

    _, _, batch = drawn(make)
    costs = 0.5 * (batch["before"] - batch["reference"])
    still = costs.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(batch["return"], -still)


def test_answers_between_two_passes_are_kept_for_a_resume() -> None:
    model, objective, batch = drawn(ppo(updates_per_batch=2))
    assert objective.kept(2) == []
    (kept,) = objective.kept(1)
    again = ppo(updates_per_batch=2)(model, 1)
    again.restore([kept])
    (found,) = again.begin_step(1, [PROMPTS])
    assert all(torch.equal(found[name], batch[name]) for name in batch)
