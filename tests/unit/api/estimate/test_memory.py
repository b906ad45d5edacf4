"""Memory by component: what each setting adds, shares out or saves."""

from dataclasses import replace

import pytest

from finetune_api.estimate import estimate, memory, setup_for
from finetune_api.estimate.activations import layer_activations, logits
from finetune_api.estimate.allocator import context_memory, taken_by_states
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.program import Program
from finetune_api.hardware import find_accelerator

P, HEAD = 8_030_261_248, 128256 * 4096
GIB = 2**30


@pytest.fixture
def parts(job, a100):
    """The parts of the memory, in bytes."""
    return lambda changes=None, devices=1: estimate(job(changes), a100, devices=devices).memory.parts


FULL = {"method.type": "full"}


def test_full_fine_tuning_in_fp32_takes_16_bytes_per_weight(parts):
    found = parts(FULL)
    assert found.weights == found.gradients == 4 * P
    assert found.optimizer == 8 * P


def test_full_fine_tuning_in_pure_bf16_takes_8_bytes_per_weight(parts):
    found = parts(FULL | {"model.loadPrecision": "bf16"})
    assert found.weights + found.gradients + found.optimizer == 8 * P


def test_the_frozen_base_of_lora_is_16_bit_and_each_adapter_weight_takes_16_bytes(parts):
    adapters = 41_943_040  # rank 16 on all seven linear layers: 32 · 16 · Σ (inputs + outputs)
    found = parts({"training.gradientAccumulationSteps": 2})
    assert found.weights == 2 * P + 4 * adapters
    assert found.gradients == 4 * adapters
    assert found.optimizer == 8 * adapters


def test_a_pattern_counts_as_every_linear_layer_and_is_never_run(parts):
    assert parts({"method.lora.targetPattern": "(.+)+x"}) == parts()


def test_fewer_targets_or_layers_mean_fewer_adapters(parts):
    attention = parts({"method.lora.targetModules": ["q_proj", "v_proj"]}).gradients
    assert attention == 4 * 16 * 32 * (8192 + 5120)
    half = parts({"method.lora.layersToTransform": list(range(16))}).gradients
    assert half == parts().gradients / 2


@pytest.mark.parametrize(
    ("quantization", "bytes_per_weight"),
    [
        ({"type": "int8"}, 1 + 4 / 4096),
        ({"type": "nf4"}, 0.5 + 1 / 64 + 4 / (64 * 256)),
        ({"type": "nf4", "doubleQuantization": False}, 0.5625),
    ],
)
def test_a_quantized_base_holds_its_linear_layers_with_their_constants(parts, quantization, bytes_per_weight):
    linear, adapters = 6_979_321_856, 41_943_040
    found = parts({"method.type": "qlora", "quantization": quantization})
    assert found.weights == pytest.approx((P - linear) * 4 + linear * bytes_per_weight + 4 * adapters)


def test_what_is_not_quantized_is_fp32_unless_the_job_says_otherwise(parts):
    quantized = {"method.type": "qlora", "quantization.type": "nf4"}
    rest = P - 6_979_321_856
    fp32, bf16 = parts(quantized), parts(quantized | {"model.loadPrecision": "bf16"})
    assert fp32.weights - bf16.weights == 2 * rest


def test_zero_shares_out_what_its_stage_says(parts):
    weights, gradients, optimizer = 2 * P, 2 * P, 12 * P
    for stage, expected in {
        1: (weights, gradients, optimizer / 8),
        2: (weights, gradients / 8, optimizer / 8),
        3: (weights / 8, gradients / 8, optimizer / 8),
    }.items():
        found = parts(FULL | {"distributed.zeroStage": stage}, devices=8)
        assert (found.weights, found.gradients, found.optimizer) == pytest.approx(expected)


def test_of_gradients_that_are_used_at_once_the_output_embeddings_is_the_largest(parts):
    assert parts(FULL | {"model.loadPrecision": "bf16", "training.optimizer": "lomo"}).gradients == 2 * HEAD


def test_zero_2_and_3_agree_with_deepspeeds_own_estimators(parts):
    # 2·P + 18·P/n and 18·P/n, its 4 bytes of fp32 gradients being a buffer here
    two = parts(FULL | {"distributed.zeroStage": 2}, devices=8)
    states = two.weights + two.gradients + two.optimizer
    assert states + 4 * P / 8 == pytest.approx(2 * P + 18 * P / 8)


def test_offload_moves_the_optimizer_and_then_the_weights_to_the_host(parts):
    offload = {"optimizer": "cpu", "parameters": "cpu"}
    found = parts(FULL | {"distributed.zeroStage": 3, "distributed.offload": offload}, devices=8)
    assert (found.optimizer, found.gradients, found.weights) == (0, 0, 0)


def test_checkpointing_keeps_one_residual_stream_per_layer(job, a100):
    setup = setup_for(job({"training.gradientCheckpointing": "full", "model.kernels": "liger"}), a100)
    tokens, layer = setup.length, 2 * 4096
    without = memory(setup_for(job({"model.kernels": "liger"}), a100)).parts.activations
    found = memory(setup).parts.activations
    assert 32 * layer * tokens < found < 80 * layer * tokens < without


def test_logits_take_12_bytes_per_token_and_word_of_the_vocabulary(parts):
    assert parts({"model.id": "google/gemma-2-2b"}).logits == 12 * 2048 * 256000
    assert parts({"model.id": "google/gemma-2-2b", "model.kernels": "liger"}).logits == 0


def test_ligers_kernels_keep_two_of_three_wide_tensors_and_a_norms_input_in_its_own_type(job, a100):
    def kept(changes):
        setup = setup_for(job(changes), a100)
        return layer_activations(setup, count_parameters(setup), 2048)

    saved = kept({}) - kept({"model.kernels": "auto"})
    assert saved == 2 * 14336 + 2 * 2 * 4096  # one tensor of the feed-forward width, two norms in bf16


def test_auto_takes_ligers_kernels_where_liger_has_some(job, a100):
    phi = setup_for(job({"model.id": "microsoft/phi-2", "model.kernels": "auto"}), a100)
    llama = setup_for(job({"model.kernels": "auto"}), a100)
    assert (llama.fused_loss, llama.fused_layers) == (True, True)
    assert (phi.fused_loss, phi.fused_layers) == (False, False)


def test_eager_attention_keeps_scores_that_grow_with_the_square_of_the_length(parts):
    def scores(length):
        settings = {"training.maxSequenceLength": length}
        eager = parts(settings | {"model.attention": "eager"}).activations
        return eager - parts(settings).activations

    assert scores(4096) == pytest.approx(4 * scores(2048))


def test_dora_keeps_the_outputs_that_its_magnitudes_multiply(parts):
    assert parts({"method.type": "dora"}).activations > parts().activations
    assert parts({"method.type": "pissa"}) == parts({"method.type": "rslora"}) == parts()


@pytest.mark.parametrize("method", ["freeze", "spectrum"])
def test_only_trained_weights_have_gradients_and_states(parts, method):
    found = parts({"method.type": method})
    assert 0 < found.gradients < 4 * P
    assert found.optimizer == 2 * found.gradients


@pytest.mark.parametrize(
    ("optimizer", "bytes_per_weight"), [("sgd", 0), ("lion", 4), ("adamw", 8), ("adamw8bit", 2 + 8 / 256)]
)
def test_optimizers_remember_different_amounts(parts, optimizer, bytes_per_weight):
    assert parts(FULL | {"training.optimizer": optimizer}).optimizer == bytes_per_weight * P


def test_a_paged_optimizer_may_leave_the_device(job, a100):
    plain = estimate(job(FULL), a100, devices=1).memory
    paged = estimate(job(FULL | {"training.optimizer": "pagedAdamw"}), a100, devices=1).memory
    assert plain.low - paged.low >= 8 * P
    assert plain.expected >= paged.expected


def test_paged_states_take_the_room_that_is_left(job, a100):
    def paged(gib):
        small = {"model.id": "meta-llama/Llama-3.2-1B", "method.type": "full"}
        device = replace(a100, memory_gib=gib)
        return estimate(job(small | {"training.optimizer": "pagedAdamw"}), device, devices=1)

    roomy, tight = paged(80), paged(20)
    assert roomy.memory.parts.optimizer == 8 * 1_235_814_400
    assert 0 < tight.memory.parts.optimizer < roomy.memory.parts.optimizer
    assert tight.fits
    assert tight.may_not_fit
    assert tight.capacity - tight.memory.expected < 2


def test_a_context_holds_memory_for_each_thread_that_the_device_holds_at_once(job):
    t4, a100 = (context_memory(setup_for(job(), find_accelerator(name))) for name in ("t4", "a100-80gb"))
    assert t4.expected == 40 * 1024 * 3.5 * 2**10
    assert a100.expected == 108 * 2048 * 3.5 * 2**10


def test_states_made_after_the_first_loss_take_its_blocks(job, a100):
    """Full fine-tuning whose peak is the optimizer's step holds the loss's blocks besides; DeepSpeed makes
    its states before."""
    small = {"model.id": "meta-llama/Llama-3.2-1B", "method.type": "full"}
    setup = setup_for(job(small | {"training.maxSequenceLength": 1024}), a100)
    found = memory(setup).parts
    loss = setup.sequences * setup.length * logits(setup)
    assert found.logits == 0
    assert found.overhead > context_memory(setup).expected + 0.75 * loss
    assert taken_by_states(replace(setup, deepspeed=True), found.optimizer, loss) == 0


def test_packed_data_certainly_fills_its_sequences(job, a100):
    loose = memory(setup_for(job(), a100))
    packed = memory(setup_for(job({"dataset.packing": True}), a100))
    assert packed.low > loose.low
    assert packed.expected == loose.expected


def test_preference_pairs_double_the_sequences_and_full_training_needs_a_reference(parts):
    assert parts({"training.stage": "dpo"}).logits == 2 * parts().logits
    assert parts(FULL | {"training.stage": "dpo"}).weights == 4 * P + 4 * P


def test_parts_add_up_to_what_is_expected(job, a100):
    result = estimate(job(), a100, devices=1).memory
    assert sum(result.parts.gib().values()) == pytest.approx(result.expected / GIB)
    assert result.low <= result.expected <= result.high


def test_layers_below_the_lowest_trained_one_keep_nothing(parts):
    def kept(**freeze):
        return parts({"method": {"type": "freeze", "freeze": freeze}}).activations

    last, more = kept(trainableLayers=2), kept(trainableLayers=4)
    assert last < more < kept(trainableLayers=2, fromLayer="first")
    assert last < kept(layers=[28, 31]) < more
    assert kept(trainableLayers=2, extraModules=["embed_tokens"]) == kept(
        trainableLayers=2, fromLayer="first"
    )


QLORA = {
    "method.type": "qlora",
    "quantization.type": "nf4",
    "training.gradientCheckpointing": "full",
    "training.maxSequenceLength": 512,
}


def test_embeddings_that_were_cast_stay_with_the_allocator_where_there_is_room(job, a100):
    setup = setup_for(job(QLORA), a100)
    needed = memory(replace(setup, capacity=0.0))
    roomy, full = memory(setup), memory(replace(setup, capacity=needed.expected + 2))
    embeddings = 2 * 2 * 128256 * 4096
    assert 0 < roomy.expected - needed.expected < embeddings
    assert full.expected == pytest.approx(needed.expected)
    assert roomy.parts.allocated == needed.parts.allocated


def test_a_device_that_is_just_large_enough_is_large_enough(job, a100):
    needed = memory(replace(setup_for(job(QLORA), a100), capacity=0.0)).expected
    tight = replace(a100, memory_gib=(needed + 2**20) / GIB)
    assert estimate(job(QLORA), tight, devices=1).fits


def test_zero_leaves_the_flat_gradients_of_its_step_with_the_allocator(parts):
    adapters = 41_943_040
    plain, zero = parts(), parts({"distributed.zeroStage": 2})
    assert zero.overhead - plain.overhead >= 6 * adapters


KEPT = Program(quantized_inputs_kept=True)
"""bitsandbytes 0.41 to 0.43.1."""
QUANTIZED = {"method.type": "qlora", "quantization.type": "nf4", "training.gradientCheckpointing": "none"}


def test_what_old_quantized_layers_kept_outlives_its_pass_where_the_graph_is_held(job, a100):
    setup = setup_for(job(QUANTIZED), a100)
    once, twice = (
        memory(replace(setup, program=replace(KEPT, graph_held=held))).parts.activations
        for held in (False, True)
    )
    inputs = 2 * (4096 + 4096 + 4096 + 14336)  # attention, its output, gate and up, down
    assert twice - once == 32 * inputs * setup.sequences * setup.length


def test_the_longest_record_first_has_its_peak_before_gradients_and_states(job, a100):
    setup = setup_for(job(QUANTIZED | {"training.gradientAccumulationSteps": 8}), a100)
    first = memory(replace(setup, program=Program(longest_first=True))).parts
    later = memory(setup).parts
    assert later.optimizer > later.gradients > 0
    assert first.optimizer == first.gradients == 0
    assert first.activations == later.activations


def test_the_high_bound_gives_each_kind_of_tensor_blocks_of_its_own_while_there_is_room(job, a100):
    setup = setup_for(job({"method.type": "full", "model.id": "meta-llama/Llama-3.2-1B"}), a100)
    found = memory(setup)
    step_alone = found.parts.allocated
    assert found.high > step_alone + setup.sequences * setup.length * logits(setup)
    full = memory(replace(setup, capacity=found.expected))
    assert full.high < found.high


@pytest.mark.parametrize("devices", [65_537, 1_000_003])
def test_devices_that_no_nodes_can_hold_are_said(job, a100, devices):
    with pytest.raises(ValueError, match=f"devices: {devices} can't be shared out evenly"):
        estimate(job(), a100, devices=devices)


def test_devices_are_spread_over_as_few_nodes_as_can_have_equally_many(job, a100):
    found = {devices: estimate(job(), a100, devices=devices).setup.ranks for devices in (1, 3, 64, 65, 128)}
    assert all(ranks == devices for devices, ranks in found.items())
    assert estimate(job({"distributed.nodes": 4}), a100, devices=2).setup.ranks == 2
