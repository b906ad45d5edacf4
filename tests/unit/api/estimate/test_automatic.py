"""What `auto` means on a given accelerator, and what is suggested for a new job."""

import pytest

from finetune_api.estimate import GIB, automatic, decided, estimate, suggested
from finetune_api.estimate.fit import apply
from finetune_api.hardware import ACCELERATORS, find_accelerator
from finetune_api.validation import errors_in, validate_job

ALL_AUTO = {
    "training.microBatchSize": "auto",
    "distributed.zeroStage": "auto",
    "quantization.type": "auto",
}
"""Beside training.gradientCheckpointing, which says so by itself."""


def settled(job, changes, accelerator):
    """What a job with every auto becomes: micro-batch × accumulation, checkpointing, ZeRO stage, the base."""
    spec = automatic(job(ALL_AUTO | changes), accelerator and find_accelerator(accelerator)).spec
    training = spec.training
    return (
        (training.micro_batch_size, training.gradient_accumulation_steps),
        training.gradient_checkpointing,
        spec.distributed.zero_stage,
        spec.quantization.type,
    )


def checkpointing(job, accelerator):
    return automatic(job, find_accelerator(accelerator)).spec.training.gradient_checkpointing


def test_activations_are_kept_where_even_the_high_bound_fits(job):
    assert checkpointing(job({"training.maxSequenceLength": 512}), "h200") == "none"
    assert checkpointing(job({"training.maxSequenceLength": 65536}), "h200") == "full"


@pytest.mark.parametrize("chosen", ["none", "full"])
def test_what_is_chosen_stays(job, chosen):
    assert checkpointing(job({"training.gradientCheckpointing": chosen}), "t4") == chosen


def test_without_an_accelerator_or_a_known_model_nothing_is_decided(job):
    assert automatic(job(), None) == job()
    unknown = job({"model.id": "nobody/nothing"})
    assert automatic(unknown, find_accelerator("t4")) == unknown


def test_a_base_is_quantized_only_where_nothing_else_surely_fits(job):
    assert settled(job, {}, "t4") == ((1, 16), "full", 0, "nf4")
    assert settled(job, {}, "l4") == ((1, 16), "full", 0, "none")
    assert settled(job, {}, "a100-80gb") == ((1, 16), "none", 0, "none")


def test_adapters_on_a_base_that_was_quantized_are_qlora(job):
    assert automatic(job(ALL_AUTO), find_accelerator("t4")).spec.method.type == "qlora"
    assert automatic(job(ALL_AUTO), find_accelerator("l4")).spec.method.type == "lora"


def test_ranks_share_only_what_would_not_fit_otherwise(job):
    eight = {"resources.accelerators.perNode": 8}
    full = eight | {"method.type": "full", "quantization.type": "none"}
    assert settled(job, eight, "h100-80gb") == ((2, 8), "none", 0, "none")
    assert settled(job, full, "h100-80gb") == ((2, 8), "none", 2, "none")
    assert settled(job, full | {"model.id": "meta-llama/Llama-3.1-70B"}, "h100-80gb")[1:] == (
        "full",
        3,
        "none",
    )


def test_a_micro_batch_grows_where_that_is_faster_and_the_effective_batch_stays(job):
    small = {"model.id": "Qwen/Qwen2.5-0.5B"}
    assert settled(job, small, "a100-80gb")[0] == (4, 4)
    assert settled(job, small | {"training.gradientAccumulationSteps": 6}, "a100-80gb")[0] == (6, 1)
    assert settled(job, small, "t4")[0] == (1, 16)


@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=lambda item: item.name)
@pytest.mark.parametrize("ranks", [1, 8])
def test_what_is_decided_surely_fits_and_is_valid(job, accelerator, ranks):
    short = {"training.maxSequenceLength": 1024}
    changes = ALL_AUTO | short | {"resources.accelerators.perNode": ranks}
    made = automatic(job(changes), accelerator)
    assert made.spec.training.sequences_per_rank == 16
    assert not errors_in(validate_job(made))
    assert estimate(made, accelerator).memory.high <= accelerator.memory_gib * GIB


def test_where_nothing_surely_fits_the_least_memory_counts(job):
    huge = {"model.id": "meta-llama/Llama-3.1-70B"}
    assert settled(job, huge, "t4") == ((1, 16), "full", 0, "nf4")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ((1, 16), "auto", 0, "none")),
        ({"resources.accelerators.perNode": 4}, ((1, 16), "auto", 2, "none")),
        ({"resources.accelerators.perNode": 4, "distributed.engine": "torch"}, ((1, 16), "auto", 0, "none")),
        ({"training.stage": "kto"}, ((2, 8), "auto", 0, "none")),
    ],
    ids=["one rank", "ranks that share", "ranks that can't", "a stage that compares records"],
)
def test_what_nobody_knows_becomes_what_runs_anywhere(job, changes, expected):
    assert settled(job, changes, None) == expected
    assert settled(job, changes | {"model.id": "nobody/nothing"}, "a100-80gb") == expected


@pytest.mark.parametrize(
    ("changes", "stage"),
    [({"distributed.offload.optimizer": "cpu"}, 2), ({"distributed.offload.parameters": "cpu"}, 3)],
    ids=["optimizer", "parameters"],
)
def test_what_is_offloaded_decides_the_stage(job, changes, stage):
    changes = {"distributed.zeroStage": "auto", "resources.accelerators.perNode": 1} | changes
    assert errors_in(validate_job(job(changes))) == []
    assert automatic(job(changes), find_accelerator("a100-80gb")).spec.distributed.zero_stage == stage


def test_deciding_again_changes_nothing(job, a100):
    once = automatic(job(ALL_AUTO), a100)
    assert automatic(once, a100) == once


def test_what_is_decided_and_what_it_saves_is_told(job):
    found = decided(job(ALL_AUTO), find_accelerator("t4"))
    assert found.changes == {
        "training.microBatchSize": 1,
        "training.gradientCheckpointing": "full",
        "distributed.zeroStage": 0,
        "quantization.type": "nf4",
        "method.type": "qlora",
    }
    assert found.differs
    assert found.estimate.memory.high < found.undecided.memory.low
    assert decided(job({"training.gradientCheckpointing": "none"}), find_accelerator("t4")) is None


def test_what_changes_nothing_is_told_too(job, a100):
    found = decided(job(ALL_AUTO), a100)
    assert found.changes["quantization.type"] == "none"
    assert not found.differs


@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=lambda item: item.name)
def test_what_is_suggested_fits_and_is_arithmetic_of_the_device(job, accelerator):
    found = suggested(job({"resources.accelerators.perNode": 1}), accelerator)
    assert found is not None
    values, expected = found
    assert expected.fits
    assert values["training.precision"] == ("bf16" if accelerator.supports("bf16") else "fp16")
    changed = apply(job({"resources.accelerators.perNode": 1}), values)
    assert estimate(changed, accelerator).memory.expected == expected.memory.expected
    assert changed.spec.training.micro_batch_size * changed.spec.training.gradient_accumulation_steps == 16


def test_the_effective_batch_is_shared_out_among_ranks(job, a100):
    values, _ = suggested(job({"resources.accelerators.perNode": 8}), a100)
    assert values["training.microBatchSize"] * values["training.gradientAccumulationSteps"] == 2


def test_a_model_that_is_too_large_is_not_forced(job):
    large = job({"model.id": "meta-llama/Llama-3.1-405B", "resources.accelerators.perNode": 1})
    assert suggested(large, find_accelerator("t4")) is None
