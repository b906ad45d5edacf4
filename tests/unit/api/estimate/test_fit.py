"""The cheapest and the fastest setting."""

import pytest

from finetune_api.estimate import estimate, nearest_fit, propose_fit, suggested
from finetune_api.estimate.fit import apply
from finetune_api.hardware import find_accelerator

MANY = {"training.gradientAccumulationSteps": 32, "training.gradientCheckpointing": "none"}


def test_the_fastest_takes_all_devices_and_the_cheapest_as_many_as_pay(job, a100):
    """Under ZeRO-3 eight devices send each other all weights in each pass, which one does not."""
    shared = MANY | {"distributed.zeroStage": 3}
    cheapest, fastest = propose_fit(job(shared), a100, devices=8)
    assert fastest.estimate.setup.ranks == 8
    assert cheapest.estimate.setup.ranks < 8
    assert cheapest.estimate.cost.usd.expected < fastest.estimate.cost.usd.expected
    assert cheapest.estimate.duration_seconds.expected > fastest.estimate.duration_seconds.expected


def test_one_device_can_be_no_fewer(job, a100):
    for fit in propose_fit(job(MANY), a100):
        assert "resources.accelerators.perNode" not in fit.changes


def test_the_counted_data_counts_for_proposals_too(job, a100):
    _, fastest = propose_fit(job(MANY), a100, records=640, tokens=64_000)
    assert fastest.estimate.steps.exact
    assert fastest.estimate.duration_seconds.expected <= (
        estimate(job(MANY), a100, records=640, tokens=64_000).duration_seconds.expected
    )


def test_short_records_are_faster_in_larger_micro_batches(job, a100):
    """Starting kernels takes longer than 100 tokens do, and is paid once for all of a micro-batch."""
    _, fastest = propose_fit(job(MANY), a100, records=640, tokens=64_000)
    assert fastest.changes["training.microBatchSize"] > 1


def test_nothing_is_proposed_where_nothing_fits(job, a100):
    assert propose_fit(job({"model.id": "meta-llama/Llama-3.1-405B-Instruct"}), a100) is None


@pytest.mark.parametrize("devices", [1, 4])
def test_the_effective_batch_is_kept(job, a100, devices):
    for fit in propose_fit(job(MANY), a100, devices=devices):
        setup = fit.estimate.setup
        assert setup.sequences * setup.accumulation * setup.ranks == 32 * devices


def test_a_new_job_keeps_the_devices_that_were_asked_for(job, a100):
    shared = MANY | {"distributed.zeroStage": 3, "resources.accelerators.perNode": 8}
    for fit in propose_fit(job(shared), a100, fewer=False):
        assert fit.estimate.setup.ranks == 8
    changes, found = suggested(job(shared), a100)
    assert "resources.accelerators.perNode" not in changes
    assert found.setup.ranks == 8


def test_a_4_bit_base_is_proposed_only_where_no_number_of_devices_does_without(job, a100):
    """70 billion weights fit on eight devices in 16 bit, and on one in 4 bit."""
    large = MANY | {"model.id": "meta-llama/Llama-3.1-70B-Instruct"}
    for fit in propose_fit(job(large), a100, devices=8):
        assert fit.estimate.setup.ranks > 1
        assert "quantization.type" not in fit.changes
    for fit in propose_fit(job(large), a100, devices=1):
        assert fit.changes["quantization.type"] == "nf4"


def test_long_sequences_of_many_words_are_spared_their_logits_before_anything_graver(job, a100):
    long = {"training.maxSequenceLength": 32768, "training.gradientCheckpointing": "full"}
    assert nearest_fit(job(long), a100).changes == {"model.kernels": "auto"}


def test_a_quantized_base_too_large_to_load_on_one_device_is_shared_out_in_16_bit(job, a100):
    """405 billion weights take 195 GiB in 4 bit, on each device."""
    large = {"model.id": "meta-llama/Llama-3.1-405B-Instruct", "distributed.zeroStage": 3}
    found = nearest_fit(job(large | {"method.type": "qlora", "quantization.type": "nf4"}), a100, devices=16)
    assert found.changes["quantization.type"] == "none"
    assert found.changes["method.type"] == "lora"


@pytest.mark.parametrize("optimizer", ["galoreAdamw", "stableAdamw", "scheduleFreeAdamw", "adalomo"])
def test_an_optimizer_that_deepspeed_cannot_run_is_given_no_more_devices(job, a100, optimizer):
    full = {"method.type": "full", "training.optimizer": optimizer, "training.maxSequenceLength": 512}
    found = nearest_fit(job(full | {"model.id": "meta-llama/Llama-3.1-70B-Instruct"}), a100)
    assert found is None


def test_what_is_proposed_is_what_validation_allows(job):
    drawn = {"training.stage": "grpo", "training.grpo": {"rewardFunctions": ["contains"], "groupSize": 4}}
    large = {"model.id": "meta-llama/Llama-3.1-70B", "method.type": "full"}
    asking = job(drawn | large | {"resources.accelerators.perNode": 8})
    b200 = find_accelerator("b200")
    shared = estimate(
        apply(asking, {"distributed.zeroStage": 3, "training.gradientCheckpointing": "full"}), b200
    )
    assert shared.fits, "but grpo is refused at stage 3"
    assert propose_fit(asking, b200) is None
    nearest = nearest_fit(asking, b200)
    assert nearest is None or nearest.changes.get("distributed.zeroStage") != 3


def test_a_single_device_that_offloads_keeps_its_stage(job, a100):
    offloading = {"distributed.offload.optimizer": "cpu", "distributed.zeroStage": 2, "method.type": "full"}
    cheapest, fastest = propose_fit(job(offloading | {"resources.accelerators.perNode": 1}), a100)
    assert "distributed.zeroStage" not in cheapest.changes | fastest.changes
