"""Packing, streaming and grouping by length."""

import pytest

PACKED = {"dataset.packing": True}
STREAM = {"dataset.streaming": True, "training.maxSteps": 100}


@pytest.mark.parametrize(("stage", "form"), [("dpo", "preference"), ("rm", "preference")])
def test_preferences_are_not_packed(brief, stage, form):
    changes = PACKED | {"training.stage": stage, "dataset.format": form}
    assert brief(changes) == [("error", "Conflict", "dataset.packing")]


@pytest.mark.parametrize("attention", ["auto", "sdpa", "flex_attention", "flash_attention_2"])
def test_records_are_packed_under_an_attention_that_keeps_them_apart(brief, attention):
    on_gpu = {"resources.accelerators.perNode": 1}
    assert brief(PACKED | on_gpu | {"model.attention": attention}) == []


def test_packing_under_another_attention_is_warned_about(brief):
    assert brief(PACKED | {"model.attention": "eager"}) == [
        ("warning", "PackingAttention", "model.attention")
    ]
    unsloth = {"model.kernels": "unsloth", "resources.accelerators.perNode": 1}
    assert brief(PACKED | unsloth) == [("warning", "PackingAttention", "model.kernels")]
    assert brief({"model.attention": "eager"} | unsloth) == []


def test_a_stream_is_not_packed(brief):
    assert brief(PACKED | STREAM) == [("error", "Conflict", "dataset.packing")]


def test_packed_sequences_are_not_grouped_by_length(brief):
    grouped = {"training.sampling": "groupByLength"}
    assert brief(PACKED | grouped) == [("error", "Conflict", "training.sampling")]
    assert brief(grouped) == []


def test_a_stream_ends_after_steps(brief):
    assert brief({"dataset.streaming": True}) == [("error", "Requires", "training.maxSteps")]
    assert brief(STREAM) == []


def test_a_share_of_a_stream_is_not_held_out(brief):
    assert brief(STREAM | {"dataset.evalSplit": 0.1}) == [("error", "Conflict", "dataset.evalSplit")]


def test_a_stream_is_not_grouped_by_length(brief):
    assert brief(STREAM | {"training.sampling": "groupByLength"}) == [
        ("error", "Conflict", "training.sampling")
    ]


def test_a_column_of_lengths_is_for_grouping_by_length(brief):
    changes = {"dataset.columns.length": "tokens"}
    assert brief(changes) == [("error", "Conflict", "dataset.columns.length")]
    assert brief(changes | {"training.sampling": "groupByLength"}) == []
