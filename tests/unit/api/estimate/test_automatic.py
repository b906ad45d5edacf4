"""What `auto` means on a given accelerator, and what is suggested for a new job."""

import pytest

from finetune_api.estimate import automatic, estimate, suggested
from finetune_api.estimate.fit import apply
from finetune_api.hardware import ACCELERATORS, find_accelerator


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
