"""Memory and time of the answers that grpo and ppo draw."""

from dataclasses import replace

import pytest

from finetune_api.estimate import setup_for
from finetune_api.estimate.drawing import bytes_per_token, cache_bytes, drawn_together
from finetune_api.estimate.memory import memory
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.steps import steps
from finetune_api.estimate.throughput import DISPATCH_SECONDS, throughput
from finetune_api.estimate.weights import weight_memory

GRPO = {"training.stage": "grpo", "training.grpo.sampling.maxNewTokens": 512}
PPO = {"training.stage": "ppo"}
FULL = {"method.type": "full"}
P = 8_030_261_248


@pytest.fixture
def step(job, a100):
    """The throughput of a job on so many devices."""
    return lambda changes, devices=1: throughput(setup_for(job(changes), a100, devices), a100, 1024)


def test_the_cache_holds_keys_and_values_of_all_layers_for_each_sequence(job, a100):
    alone = {"training.microBatchSize": 8, "training.gradientAccumulationSteps": 1}
    setup = setup_for(job(GRPO | alone), a100)
    assert cache_bytes(setup, 1024) == 8 * 1024 * 2 * (8 * 128) * 32 * 2  # 8 heads of 128, 32 layers, 2 bytes


def test_answers_are_drawn_together_as_far_as_their_cache_needs_no_more_than_learning(job, a100):
    """Of a token, learning holds 32 layers of 4,096 channels and 128,256 logits in two types; a cache holds
    32 layers of 2·1,024."""
    setup = setup_for(job(GRPO | {"training.gradientAccumulationSteps": 64}), a100)
    held = 2 * 32 * 4096 + 6 * 128256
    assert drawn_together(setup.architecture, 2, 64) == held // (32 * 2 * 2 * 1024) == 7
    assert drawn_together(setup.architecture, 2, 4) == 4
    assert cache_bytes(setup, 1024) <= 1024 * held


def test_answers_that_are_drawn_together_take_their_time_once(step):
    alone, together = (step(GRPO | {"training.gradientAccumulationSteps": count}) for count in (1, 7))
    assert together.drawing_seconds == pytest.approx(alone.drawing_seconds)


def test_the_cache_is_the_peak_where_a_pass_keeps_less(job, a100):
    """A fused loss, checkpointing and a narrow feed-forward leave little; each head has its own keys."""
    lean = {"training.gradientCheckpointing": "full", "model.id": "meta-llama/Llama-2-7b-hf"}
    setup = setup_for(job(GRPO | lean | {"training.microBatchSize": 8}), a100)
    narrow = replace(setup.architecture, feed_forward=1024)
    setup = replace(setup, fused_loss=True, architecture=narrow)
    drawn, given = memory(setup), memory(replace(setup, answer_tokens=0))
    assert drawn.parts.activations == cache_bytes(setup, setup.length)
    assert drawn.parts.total > given.parts.total


def test_a_token_reads_all_weights_and_unpacks_those_that_are_quantized(job, a100):
    plain, packed = (setup_for(job(GRPO | method), a100) for method in ({}, {"quantization.type": "nf4"}))
    moved = [bytes_per_token(setup, count_parameters(setup), 0) for setup in (plain, packed)]
    assert moved[0] == pytest.approx(2 * P + 4 * count_parameters(plain).added)
    assert moved[1] > 2 * moved[0]


def test_starting_kernels_takes_most_of_a_token_of_a_small_batch(step):
    """30 kernels of each of 32 layers, and 6 of each of 7 adapters in it."""
    found = step(GRPO | {"training.gradientAccumulationSteps": 1})
    assert found.drawing_seconds == pytest.approx(512 * 32 * (30 + 6 * 7) * DISPATCH_SECONDS.expected)
    assert found.bound == "drawing"
    assert found.step_seconds.expected > found.drawing_seconds


def test_passes_that_learn_from_the_same_answers_share_their_drawing(step):
    once, shared = (step(GRPO | {"training.grpo.updatesPerBatch": count}) for count in (1, 4))
    assert shared.drawing_seconds == pytest.approx(once.drawing_seconds / 4)


def test_zero_3_gathers_all_weights_for_each_token(step):
    full = GRPO | FULL
    whole, shared = (step(full | {"distributed.zeroStage": stage}, 8) for stage in (2, 3))
    assert shared.drawing_seconds > 2 * whole.drawing_seconds
    offloaded = step(full | {"distributed.zeroStage": 3, "distributed.offload.parameters": "cpu"}, 8)
    assert offloaded.drawing_seconds > shared.drawing_seconds


def test_stages_that_draw_nothing_take_no_time_for_it(step):
    assert step({}).drawing_seconds == 0
    assert step({}).bound != "drawing"


def test_ppo_has_a_reward_model_on_each_device(job, a100):
    """As large as the model that learns, unless the catalog knows it."""
    unknown = setup_for(job(PPO), a100)
    known = setup_for(job(PPO | {"training.ppo.rewardModelId": "Qwen/Qwen2.5-0.5B"}), a100)
    assert unknown.reward_parameters == P
    assert known.reward_parameters < P / 10
    less = weight_memory(unknown, count_parameters(unknown)) - weight_memory(known, count_parameters(known))
    assert less == 2 * (P - known.reward_parameters)
    assert setup_for(job(GRPO), a100).reward_parameters == 0


def test_answers_lengthen_the_sequences_up_to_the_longest(job):
    prompts, both = (steps(job(changes), 100, 100 * 300).length for changes in ({}, GRPO))
    assert prompts.expected == 300
    assert (both.low, both.expected, both.high) == (300 + 128, 300 + 512, 300 + 512)
    assert steps(job(GRPO), 100, 100 * 1900).length.expected == 2048
