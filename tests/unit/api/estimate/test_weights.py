"""Weights while a model loads and while it trains."""

import pytest

from finetune_api.estimate import estimate, setup_for
from finetune_api.estimate.parameters import count_parameters

LINEAR, PLAIN = 6_979_321_856, 1_050_939_392  # of Llama 3.1 8B: what nf4 packs, and the rest
CONSTANT = 1 / 64 + 4 / (64 * 256)
QLORA = {"method.type": "qlora", "quantization.type": "nf4", "distributed.zeroStage": 3}


@pytest.fixture
def parts(job, a100):
    """The parts of the memory, in bytes."""
    return lambda changes, devices: estimate(job(changes), a100, devices=devices).memory.parts


def test_a_quantized_base_is_whole_on_each_device_before_zero_3_shares_it_out(parts):
    found = parts(QLORA | {"training.maxSequenceLength": 128}, 8)
    assert found.weights == pytest.approx(LINEAR * (0.5 + CONSTANT) + 4 * PLAIN)
    assert (found.activations, found.optimizer) == (0, 0)


def test_where_training_takes_more_zero_3_shares_out_packed_weights_but_not_their_constants(parts):
    settings = QLORA | {"training.maxSequenceLength": 8192}
    two, four = parts(settings, 2).weights, parts(settings, 4).weights
    shared = 4 * (two - four)
    assert two == pytest.approx(LINEAR * CONSTANT + shared / 2)


@pytest.mark.parametrize(
    ("model", "saved"),
    [("meta-llama/Llama-3.1-8B", 2 * 128256 * 4096), ("meta-llama/Llama-3.2-1B", 128256 * 2048)],
)
def test_a_tied_embedding_that_is_trained_beside_adapters_is_one_copy(job, a100, model, saved):
    changes = {"model.id": model, "method.lora.modulesToSave": ["lm_head", "model.embed_tokens"]}
    assert count_parameters(setup_for(job(changes), a100)).saved_modules == saved


def test_a_base_that_is_not_quantized_is_shared_out_as_it_loads(parts):
    found = parts({"distributed.zeroStage": 3, "training.maxSequenceLength": 128}, 8)
    assert found.weights < 2 * (LINEAR + PLAIN) / 7
