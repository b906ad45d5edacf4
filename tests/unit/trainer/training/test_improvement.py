"""Best value and patience."""

import pytest

from finetune_api.training import EarlyStoppingSpec
from finetune_trainer.training.improvement import Improvement


def follow(improvement: Improvement, values: list[float]) -> tuple[list[bool], list[bool]]:
    steps = [(improvement.add(value), improvement.exhausted) for value in values]
    return [best for best, _ in steps], [exhausted for _, exhausted in steps]


def test_patience_ends_after_so_many_evaluations_without_an_improvement() -> None:
    stopping = EarlyStoppingSpec(patience=2, threshold=0.0)
    best, exhausted = follow(Improvement(stopping, False), [3.0, 2.0, 2.5, 1.9, 1.9, 2.0])
    assert best == [True, True, False, True, False, False]
    assert exhausted == [False, False, False, False, False, True]


def test_a_gain_below_the_threshold_is_the_best_and_yet_no_improvement() -> None:
    stopping = EarlyStoppingSpec(patience=2, threshold=0.5)
    best, exhausted = follow(Improvement(stopping, False), [3.0, 2.8, 2.7])
    assert best == [True, True, True]
    assert exhausted == [False, False, True]


def test_small_gains_add_up() -> None:
    stopping = EarlyStoppingSpec(patience=2, threshold=0.5)
    _, exhausted = follow(Improvement(stopping, False), [3.0, 2.8, 2.4, 2.2, 1.8])
    assert not any(exhausted)


def test_a_metric_of_which_more_is_better() -> None:
    best, _ = follow(Improvement(None, True), [0.1, 0.3, 0.2])
    assert best == [True, True, False]


@pytest.mark.parametrize("count", [1, 100])
def test_without_early_stopping_patience_never_ends(count: int) -> None:
    _, exhausted = follow(Improvement(None, False), [1.0] * count)
    assert not any(exhausted)


def test_a_resumed_run_waits_no_longer_than_one_that_never_stopped() -> None:
    stopping = EarlyStoppingSpec(patience=2, threshold=0.0)
    first, second = Improvement(stopping, False), Improvement(stopping, False)
    follow(first, [1.0, 1.0])
    second.restore(first.state())
    second.add(1.0)
    assert second.exhausted
