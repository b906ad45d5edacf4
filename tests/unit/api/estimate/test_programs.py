"""What other programs than our trainer hold, each habit beside ours."""

from dataclasses import replace

import pytest

from finetune_api.estimate import memory, setup_for
from finetune_api.estimate.activations import freed_logits, layer_activations
from finetune_api.estimate.buffers import layer_buffers, step_buffers
from finetune_api.estimate.operations import pass_work
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.program import Program
from finetune_api.estimate.states import trained_bytes

LINEAR = (4096 * 4096, 4096 * 1024, 4096 * 1024, 4096 * 4096, *[4096 * 14336] * 3)
"""Weights of the matrices of one layer of Llama 3.1 8B."""


@pytest.fixture
def habit(job, a100):
    """Whether a program has this habit, and its setup."""

    def make(changes=None, **habits):
        return replace(setup_for(job(changes or {}), a100), program=Program(**habits))

    return make


def of(figure, setup):
    return figure(setup, count_parameters(setup))


def of_pass(setup):
    return pass_work(setup, count_parameters(setup), setup.length)


def test_a_copy_of_the_logits_without_the_last_token_leaves_another_block(habit):
    assert freed_logits(habit()) == 2 * 128256
    assert freed_logits(habit(shifted_logits=True)) == 2 * 2 * 128256


def test_adapters_in_fp32_multiply_in_fp32_in_a_loop_without_autocast(habit):
    own, narrow = (habit(autocasting=False, narrow_adapters=narrow) for narrow in (False, True))
    assert of_pass(own).wide_products > 0 == of_pass(narrow).wide_products
    assert of_pass(own).moved > of_pass(narrow).moved


def test_the_step_of_older_torch_has_two_temporary_tensors_per_weight(habit):
    setup = habit(step_tensors=2)
    assert of(step_buffers, setup) == 2 * of(trained_bytes, setup) == 2 * of(step_buffers, habit())


def test_older_peft_leaves_copied_modules_in_the_bases_type(habit):
    saved = {"method.lora.modulesToSave": ["lm_head"]}
    wide, narrow = (of(trained_bytes, habit(saved, wide_saved_modules=wide)) for wide in (True, False))
    assert wide - narrow == 2 * 128256 * 4096


QUANTIZED = {"quantization.type": "int4", "training.gradientCheckpointing": "full"}


def test_layers_that_unpack_by_torchs_operations_hold_a_layers_matrices_and_the_integers_of_one(habit):
    assert of(layer_buffers, habit(QUANTIZED)) == 2 * max(LINEAR)
    found = of(layer_buffers, habit(QUANTIZED, unpacked_kept=True))
    assert found == 2 * (sum(LINEAR) - max(LINEAR)) + (4 + 1) * max(LINEAR)


def test_what_they_unpacked_stays_with_the_allocator_when_the_loss_is_the_peak(habit):
    changes = QUANTIZED | {"training.maxSequenceLength": 4096, "training.microBatchSize": 4}
    plain, other = (memory(habit(changes, unpacked_kept=kept)) for kept in (False, True))
    assert plain.parts.allocated == other.parts.allocated
    grown = of(layer_buffers, habit(QUANTIZED, unpacked_kept=True))
    assert other.expected - plain.expected == pytest.approx(grown, rel=0.01)


PLAIN = {"method.lora.dropout": 0.0}


def test_adapters_in_the_arithmetics_type_need_no_fp32_inputs_in_a_loop_without_autocast(habit):
    narrow, wide = (
        layer_activations(found, count_parameters(found), 1024)
        for found in (habit(PLAIN, autocasting=False, narrow_adapters=narrow) for narrow in (True, False))
    )
    cast = 4 * (6 * 4096 + 14336)  # a copy for each of the seven
    shared = 2 * (4096 + 4096 + 14336)  # attention's input, and the feed-forward layer's two
    assert wide - narrow == cast - shared + 2 * 7 * 16
