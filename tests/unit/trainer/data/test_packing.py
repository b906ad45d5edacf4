"""Packing: no record is split or lost, no pack is overfull, and little room is left over."""

import random
import time
from itertools import chain

import numpy as np
import pytest

from finetune_trainer.data.packing import WORD, pack

CAPACITIES = (1, 2, 7, 64, 2048, WORD - 1, WORD, WORD + 1, 5 * WORD + 3)


def next_fit(lengths: list[int], capacity: int) -> int:
    """How many packs the simplest packer needs: records in order, a new pack when one does not fit."""
    packs, room = 0, 0
    for length in lengths:
        if length > room:
            packs, room = packs + 1, capacity
        room -= length
    return packs


def some_lengths(seed: int, capacity: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randint(1, chance.choice([capacity, max(1, capacity // 8)])) for _ in range(400)]


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("seed", range(4))
def test_each_record_is_in_one_pack_that_has_room_for_it(seed: int, capacity: int) -> None:
    lengths = some_lengths(seed, capacity)
    packs = pack(lengths, capacity)
    assert sorted(chain.from_iterable(packs)) == list(range(len(lengths)))
    assert all(0 < sum(lengths[index] for index in members) <= capacity for members in packs)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("seed", range(4))
def test_it_needs_no_more_packs_than_next_fit_and_stays_within_its_proven_bound(
    seed: int, capacity: int
) -> None:
    lengths = some_lengths(seed, capacity)
    packs = pack(lengths, capacity)
    fewest = -(-sum(lengths) // capacity)
    assert fewest <= len(packs) <= next_fit(lengths, capacity)
    # 11/9 of the best packing, which has at least a pack for each record of more than half the capacity
    best = max(fewest, sum(2 * length > capacity for length in lengths))
    assert len(packs) <= max(11 / 9 * best + 1, 3 / 2 * best)


def test_a_record_goes_where_it_fits_best() -> None:
    # 6 leaves room for 4, 7 for 3: the record of 3 goes to the latter, and the one of 4 fits in then
    assert pack([6, 3, 7, 4], 10) == [[0, 3], [1, 2]]


def test_the_result_depends_on_nothing_but_lengths_and_capacity() -> None:
    lengths = some_lengths(9, 100)
    assert pack(lengths, 100) == pack(np.array(lengths), 100)


def test_nothing_is_packed_into_nothing() -> None:
    assert pack([], 8) == []


@pytest.mark.parametrize("lengths", [[0], [9], [3, -1]])
def test_lengths_that_cannot_be_packed_are_a_mistake(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="between 1 and 8"):
        pack(lengths, 8)


def test_a_hundred_thousand_records_are_packed_almost_without_waste_in_a_moment() -> None:
    lengths = np.clip(np.random.default_rng(1).lognormal(5.5, 0.8, 100_000).astype(int), 1, 4096)
    begun = time.process_time()
    packs = pack(lengths, 4096)
    assert time.process_time() - begun < 3
    assert lengths.sum() / (len(packs) * 4096) > 0.999
