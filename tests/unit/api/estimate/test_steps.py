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
        ({"dataset.evalSplit": 0.001, "training.epochs": 1}, 17, 1),  # at least one is held out
        ({"dataset.evalSplit": 0.0016, "training.epochs": 1}, 1026, 64),  # and the share is rounded: 2
        ({"training.stage": "dpo"}, 1000, 189),  # a pair is a record
        ({"training.stage": "kto"}, 1000, 189),
        ({"training.stage": "grpo", "training.grpo.groupSize": 8}, 100, 150),  # 3 × ⌈100 / (16 / 8)⌉
        ({"training.stage": "ppo", "training.ppo.updatesPerBatch": 4}, 100, 84),  # 3 × ⌈100 / 16⌉ × 4
    ],
)
def test_counted_records_give_exact_steps(job, changes, records, expected):
    found = steps(job(changes), records, 100 * records)
    assert found.exact
    assert found.steps.expected == expected
    drawn = changes.get("training.stage") in ("grpo", "ppo")
    assert [note.split()[0] for note in found.assumptions] == ["answers"] * drawn


def test_documents_of_pretraining_are_one_stream_that_is_cut(job):
    found = steps(job({"training.stage": "pretrain", "training.epochs": 1}), 10, 10 * 9000)
    assert found.exact
    assert found.steps.expected == 3  # ⌈⌈90,000 / 2048⌉ / 16⌉
    assert found.length.expected == 2048


def test_the_tokens_of_a_pair_are_those_of_two_sequences(job):
    found = steps(job({"training.stage": "dpo"}), 100, 100 * 1200)
    assert found.length.expected == 600
    assert found.tokens_per_step.expected == 16 * 1200


def test_packed_records_share_sequences(job):
    found = steps(job({"dataset.packing": True}), 1000, 256_000)  # 125 sequences of 2048 tokens
    assert found.steps.expected == 3 * 8
    assert found.tokens_per_step.expected == 16 * 2048


def test_how_many_sequences_packed_records_fill_is_no_exact_figure(job):
    """Where all have a little over half a sequence, each needs one of its own; where lengths differ, short
    ones fill what long ones leave."""
    found = steps(job({"dataset.packing": True, "training.epochs": 1}), 160, 160 * 1100)
    assert (found.steps.low, found.steps.expected, found.steps.high) == (6, 6, 10)
    assert "finetune data check" in found.assumptions[0]


def test_records_longer_than_the_limit_are_cut(job):
    assert steps(job(), 10, 10 * 9000).length.expected == 2048


def test_what_nobody_has_counted_is_assumed_and_said(job):
    found = steps(job())
    assert not found.exact
    assert found.steps.low < found.steps.expected < found.steps.high
    assert [note.split(" ")[0] for note in found.assumptions] == ["records", "the"]


@pytest.mark.parametrize(("records", "tokens"), [(None, 1000), (10, 9)])
def test_tokens_need_records_that_they_can_be_of(job, records, tokens):
    with pytest.raises(ValueError, match=f"tokens: {tokens}, but .* Count both"):
        steps(job(), records, tokens)
