"""The order of the data is the same on any number of ranks."""

import dataclasses
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from finetune_trainer.data.sampling import GlobalOrder, RankBatches


def steps(order: GlobalOrder, *, ranks: int, micro_batch: int) -> list[set[int]]:
    """The records of each optimizer step of an epoch, put together from what all ranks load."""
    accumulation = order.global_batch // (ranks * micro_batch)
    loaded = [
        list(RankBatches(order, micro_batch=micro_batch, rank=rank, ranks=ranks)) for rank in range(ranks)
    ]
    return [
        set(chain.from_iterable(chain.from_iterable(rank[step : step + accumulation] for rank in loaded)))
        for step in range(0, len(loaded[0]), accumulation)
    ]


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 1), (1, 8), (2, 2), (4, 1), (4, 2), (8, 1)])
def test_each_optimizer_step_sees_the_same_records_on_any_number_of_ranks(
    ranks: int, micro_batch: int
) -> None:
    order = GlobalOrder(size=50, global_batch=8, seed=1)
    expected = [set(order.step(step)) for step in range(order.steps_per_epoch)]
    assert steps(order, ranks=ranks, micro_batch=micro_batch) == expected


def test_an_epoch_holds_each_record_once_and_is_filled_up_with_fillers() -> None:
    order = GlobalOrder(size=10, global_batch=4, seed=1)
    epoch = order.epoch(0)
    assert sorted(epoch[:10]) == list(range(10))
    assert epoch[10:] == [10, 11]
    assert order.steps_per_epoch == 3


def test_epochs_differ_and_are_reproducible() -> None:
    order = GlobalOrder(size=100, global_batch=4, seed=1)
    assert order.epoch(0) != order.epoch(1)
    assert order.epoch(1) == GlobalOrder(size=100, global_batch=4, seed=1).epoch(1)
    assert order.epoch(0) != GlobalOrder(size=100, global_batch=4, seed=2).epoch(0)


def test_steps_are_counted_over_the_whole_run() -> None:
    order = GlobalOrder(size=8, global_batch=4, seed=1)
    assert order.step(3) == order.epoch(1)[4:]


def grouped(size: int = 1000, seed: int = 1, global_batch: int = 8) -> GlobalOrder:
    lengths = np.random.default_rng(5).integers(1, 500, size).tolist()
    return GlobalOrder(size=size, global_batch=global_batch, seed=seed, lengths=lengths)


def spread(epoch: list[int], lengths: Sequence[int]) -> float:
    """Mean difference between the longest and the shortest record of a step of 8."""
    steps = np.array(lengths)[epoch].reshape(-1, 8)
    return float((steps.max(axis=1) - steps.min(axis=1)).mean())


def test_grouping_puts_records_of_similar_length_into_a_step() -> None:
    order = grouped()
    assert order.lengths is not None
    shuffled = dataclasses.replace(order, lengths=None)
    assert spread(order.epoch(0), order.lengths) < 20
    assert spread(shuffled.epoch(0), order.lengths) > 300


def test_grouped_steps_are_not_in_the_order_of_their_lengths_but_begin_with_the_longest_record() -> None:
    order = grouped()
    assert order.lengths is not None
    longest = [max(order.lengths[index] for index in order.step(step)) for step in range(order.size // 8)]
    assert longest[0] == max(order.lengths)
    assert longest[1:] != sorted(longest[1:], reverse=True)
    assert longest[1:] != sorted(longest[1:])


def test_grouped_epochs_differ_and_are_reproducible() -> None:
    assert grouped().epoch(0) == grouped().epoch(0)
    assert grouped().epoch(0) != grouped().epoch(1)
    assert grouped().epoch(0) != grouped(seed=2).epoch(0)


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 8), (2, 2), (8, 1)])
def test_grouped_steps_are_the_same_on_any_number_of_ranks(ranks: int, micro_batch: int) -> None:
    order = grouped(size=53)
    expected = [set(order.step(step)) for step in range(order.steps_per_epoch)]
    assert steps(order, ranks=ranks, micro_batch=micro_batch) == expected


@pytest.mark.parametrize("size", [1, 7, 8, 9, 513])
def test_grouping_keeps_every_record_and_the_fillers_at_the_end(size: int) -> None:
    epoch = grouped(size=size).epoch(0)
    assert sorted(epoch[:size]) == list(range(size))
    assert epoch[size:] == list(range(size, -(-size // 8) * 8))


def test_the_order_of_the_file_can_be_kept() -> None:
    assert GlobalOrder(size=4, global_batch=2, seed=1, shuffle=False).epoch(5) == [0, 1, 2, 3]


def test_a_rank_goes_through_the_epoch_that_it_is_told() -> None:
    order = GlobalOrder(size=8, global_batch=4, seed=1)
    batches = RankBatches(order, micro_batch=4, rank=0, ranks=1)
    batches.epoch = 2
    assert list(chain.from_iterable(batches)) == order.epoch(2)
    assert len(batches) == 2


def test_a_global_batch_that_cannot_be_divided_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="whole number of micro-batches"):
        RankBatches(GlobalOrder(size=8, global_batch=4, seed=1), micro_batch=3, rank=0, ranks=1)
