"""Limits on the loss curve, and what a gradient's norm says."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from finetune_api.failure_policy import DivergenceSpec
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Origin
from finetune_trainer.data.rendering import Tokens
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.errors import DivergedError
from finetune_trainer.training.guards import (
    MAX_OVERFLOWS,
    Guard,
    Trend,
    are_finite,
    is_a_norm,
    refuse_bad_weights,
)
from host_waits import Waits

QUIET = [2.0, 2.1, 1.9, 2.0]


def problems(limits: DivergenceSpec, losses: list[float]) -> list[str | None]:
    trend = Trend(limits)
    return [trend.problem(loss) for loss in losses]


def test_three_outliers_in_a_row_are_a_divergence() -> None:
    limits = DivergenceSpec(window_steps=4, spike_deviations=5)
    *before, last = problems(limits, [*QUIET, 9.0, 9.0, 9.0])
    assert before == [None] * 6
    assert last is not None
    assert "3 losses in a row are outliers: 9 is above 2.371" in last


def test_one_bad_batch_is_not() -> None:
    limits = DivergenceSpec(window_steps=4, spike_deviations=5)
    assert problems(limits, [*QUIET, 9.0, 9.0, 2.0, 9.0, 9.0, 2.0]) == [None] * 10


def test_outliers_do_not_become_the_new_normal() -> None:
    limits = DivergenceSpec(window_steps=4, spike_deviations=5)
    assert problems(limits, [*QUIET, *[50.0, 50.0, 2.0] * 4, 9.0, 9.0, 9.0])[-1] is not None


def test_a_window_without_any_spread_still_allows_one_percent_per_deviation() -> None:
    limits = DivergenceSpec(window_steps=4, spike_deviations=5)
    assert problems(limits, [2.0] * 4 + [2.09] * 5) == [None] * 9
    assert problems(limits, [2.0] * 4 + [2.11] * 3)[-1] is not None


def test_nothing_is_judged_before_a_window_is_full() -> None:
    limits = DivergenceSpec(window_steps=10, spike_deviations=1, max_loss=3.0, loss_increase_factor=1.5)
    assert problems(limits, [1.0] * 3 + [100.0] * 6) == [None] * 9


def test_the_smoothed_loss_has_a_limit() -> None:
    found = problems(DivergenceSpec(window_steps=3, max_loss=5.0), [1.0, 9.0, 1.0, 9.0, 9.0])
    assert found[:3] == [None] * 3
    assert found[3] is not None
    assert "9, above failurePolicy.divergence.maxLoss: 5" in found[3]


def test_the_smoothed_loss_may_not_rise_by_more_than_a_factor() -> None:
    found = problems(
        DivergenceSpec(window_steps=2, loss_increase_factor=2.0), [1.0, 1.0, 1.9, 1.9, 2.05, 2.2]
    )
    assert found[:5] == [None] * 5
    assert found[5] is not None
    assert "2.125 and was 1: more than failurePolicy.divergence.lossIncreaseFactor: 2" in found[5]


def test_a_resumed_run_judges_as_if_it_had_never_stopped() -> None:
    limits = DivergenceSpec(window_steps=4, spike_deviations=5, loss_increase_factor=3)
    first, second = Trend(limits), Trend(limits)
    for loss in [*QUIET, 9.0, 9.0]:
        first.problem(loss)
    second.restore(json.loads(json.dumps(first.state())))
    assert first.problem(9.0) == second.problem(9.0) is not None


@pytest.mark.parametrize(
    ("norm", "good"), [(0.0, True), (3.5, True), (-1.0, False), (math.nan, False), (math.inf, False)]
)
def test_deepspeed_says_minus_one_for_a_gradient_that_is_not_finite(norm: float, good: bool) -> None:
    assert is_a_norm(norm) is good


@pytest.fixture
def group() -> None:
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)


def guard(*, scaled: bool = False) -> Guard:
    """Four records, two of them in a micro-batch, one step."""
    ids = np.zeros(3, dtype=np.int32)
    sequences = [Tokens(ids=ids, labels=ids, origin=Origin("data.jsonl", line)) for line in range(1, 5)]
    facts = DataFacts(records=4, sequences=4, tokens=12, supervised_tokens=8)
    return Guard(
        data=TokenizedDataset(sequences, facts),
        order=GlobalOrder(size=4, global_batch=4, seed=0, shuffle=False),
        micro_batch=2,
        rank=0,
        ranks=1,
        scaled=scaled,
        trend=None,
    )


@pytest.mark.usefixtures("group")
def test_the_micro_batch_at_fault_is_named_alone() -> None:
    made = guard()
    made.micro_losses += [torch.tensor(1.0), torch.tensor(math.nan)]
    with pytest.raises(
        DivergedError, match=r"not a number: data.jsonl, line 3; data.jsonl, line 4\. The last checkpoint"
    ):
        made.check(1, math.nan, 1.0, weights_are_finite=True)


@pytest.mark.usefixtures("group")
def test_a_bad_gradient_with_a_good_loss_names_the_whole_step() -> None:
    made = guard()
    made.micro_losses += [torch.tensor(1.0), torch.tensor(1.0)]
    with pytest.raises(
        DivergedError,
        match=r"loss 1.0, gradient norm not finite. Records of this step: data.jsonl, line 1; .*line 4\.",
    ):
        made.check(1, 1.0, -1.0, weights_are_finite=True)


@pytest.mark.usefixtures("group")
def test_an_overflow_that_the_scaler_handles_is_no_divergence() -> None:
    made = guard(scaled=True)
    for _ in range(3):
        for _ in range(MAX_OVERFLOWS):
            made.check(1, 2.0, math.inf, weights_are_finite=True)
        made.check(1, 2.0, 0.5, weights_are_finite=True)
    assert made.skipped == 3 * MAX_OVERFLOWS


@pytest.mark.usefixtures("group")
def test_an_overflow_that_no_scale_mends_is_one() -> None:
    made = guard(scaled=True)
    for _ in range(MAX_OVERFLOWS):
        made.check(1, 2.0, math.nan, weights_are_finite=True)
    with pytest.raises(DivergedError, match="gradient norm not finite"):
        made.check(1, 2.0, math.nan, weights_are_finite=True)


@pytest.mark.usefixtures("group")
def test_a_loss_that_is_not_a_number_is_one_under_fp16_too() -> None:
    with pytest.raises(DivergedError, match="loss nan"):
        guard(scaled=True).check(1, math.nan, 1.0, weights_are_finite=True)


@pytest.mark.usefixtures("group")
def test_weights_that_are_not_finite_are_refused_and_frozen_ones_are_nobodys_fault() -> None:
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.bias[0] = math.inf
    with pytest.raises(DivergedError, match=r"step 7: a trained weight is not finite.*as the model"):
        refuse_bad_weights(model, 7, "the model")
    model.bias.requires_grad_(False)
    refuse_bad_weights(model, 7, "the model")


def test_weights_whose_sum_is_too_large_for_their_type_are_numbers_nevertheless() -> None:
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float16)
    torch.nn.init.constant_(model.weight, 60_000)
    assert not torch.isfinite(model.weight.sum())
    assert are_finite(model)


def test_however_many_weights_there_are_a_gpu_is_waited_for_once() -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(8)))
    with Waits() as waits:
        assert are_finite(model)
    assert waits.number == 1
    torch.nn.init.constant_(model[5].bias, math.nan)
    assert not are_finite(model)


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(("place", "finite"), [(2, False), (3, True)])
def test_of_a_weight_that_ranks_share_each_looks_at_its_share_but_not_at_its_padding(
    place: int, finite: bool
) -> None:
    model = torch.nn.Linear(3, 1, bias=False)
    share = torch.zeros(4)
    share[place] = math.nan
    # as ZeRO-3 leaves a weight of three numbers between two steps
    cut: Any = model.weight
    cut.data, cut.ds_tensor, cut.ds_numel, cut.ds_process_group = torch.empty(0), share, 3, dist.group.WORLD
    assert are_finite(model) is finite
