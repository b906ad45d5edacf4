"""Steps and tokens: exact where data is counted."""

import pytest

from finetune_api.estimate import steps


@pytest.mark.parametrize(
    ("changes", "records", "expected"),
    [
        ({}, 1000, 189),  # 3 × ⌈1000 / (1 · 16)⌉
        ({"training.epochs": 1.5}, 100, 11),  # ⌈1.5 × 7⌉
        ({"distributed.nodes": 2, "resources.accelerators.perNode": 4}, 1000, 24),  # 3 × ⌈1000 / 128⌉
        ({"training.maxSteps": 50}, 1000, 50),
        ({"dataset.maxSamples": 160}, 1000, 30),
        ({"dataset.evalSplit": 0.5}, 1000, 96),  # 3 × ⌈500 / 16⌉
    ],
)
def test_counted_records_give_exact_steps(job, changes, records, expected):
    found = steps(job(changes), records, 100 * records)
    assert found.exact
    assert found.steps.expected == expected
    assert found.assumptions == ()


def test_packed_records_share_sequences(job):
    found = steps(job({"dataset.packing": True}), 1000, 256_000)  # 125 sequences of 2048 tokens
    assert found.steps.expected == 3 * 8
    assert found.tokens_per_step.expected == 16 * 2048


def test_records_longer_than_the_limit_are_cut(job):
    assert steps(job(), 10, 10 * 9000).length.expected == 2048


def test_what_nobody_has_counted_is_assumed_and_said(job):
    found = steps(job())
    assert not found.exact
    assert found.steps.low < found.steps.expected < found.steps.high
    assert [note.split(" ")[0] for note in found.assumptions] == ["records", "the"]
