"""FLOPs, time and cost."""

from dataclasses import replace

import pytest
from programs import FIRST_FLASH_ATTENTION, PLAIN_LOOP

from finetune_api.estimate import estimate, setup_for
from finetune_api.estimate.estimate import on_devices
from finetune_api.estimate.operations import pass_work
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.throughput import flops_per_token, throughput
from finetune_api.hardware import find_accelerator, parse_overrides

N = 7_504_658_432  # linear layers and output embedding of Llama 3.1 8B
LAYERS = N - 128256 * 4096
COUNTED = {"devices": 1, "records": 1000, "tokens": 2_048_000}


@pytest.mark.parametrize(
    ("changes", "operations"),
    [
        ({"method.type": "full"}, 6 * N),
        ({"method.type": "full", "training.gradientCheckpointing": "full"}, 6 * N + 2 * LAYERS),
        ({"method.lora.rank": 1}, 4 * N),
        ({"method.lora.rank": 1, "training.gradientCheckpointing": "full"}, 4 * N + 2 * LAYERS),
        # an output embedding that is trained beside adapters has a gradient of its weights
        ({"method.lora.rank": 1, "method.lora.modulesToSave": ["lm_head"]}, 4 * N + 2 * 128256 * 4096),
        # two of 32 layers are trained: no gradient passes below them, none of the output embedding's weights
        ({"method.type": "freeze"}, 4 * N + 2 * LAYERS * 2 / 32 - 2 * LAYERS * 30 / 32),
    ],
)
def test_flops_per_token_are_those_of_the_weights_that_work(job, a100, changes, operations):
    setup = setup_for(job(changes), a100)
    assert flops_per_token(setup, count_parameters(setup), 0) == pytest.approx(operations, rel=0.003)


@pytest.mark.parametrize(
    ("stage", "sent"),
    [(0, 2 / 16), (1, 2 / 16), (2, 1 + 1 / 16), (3, 3)],  # of the gradients' bytes, with 16 passes per step
)
def test_zero_sends_gradients_in_each_pass_from_stage_2_on_and_weights_twice_at_stage_3(
    job, a100, stage, sent
):
    changes = {"method.type": "full", "distributed.engine": "deepspeed", "distributed.zeroStage": stage}
    found = throughput(setup_for(job(changes), a100, devices=8), a100, 2048).parts["communication"]
    link = 0.8e9 * a100.interconnect_gbs
    assert found == pytest.approx(7 / 8 * sent * 2 * 8_030_261_248 / link)


def test_a_slow_network_between_nodes_is_in_the_high_bound_alone(job, a100):
    changes = {"method.type": "full", "distributed.zeroStage": 3, "resources.accelerators.perNode": 4}
    inside, across = (
        throughput(setup_for(job(changes | {"distributed.nodes": nodes}), a100, devices=8), a100, 2048)
        for nodes in (1, 2)
    )
    assert across.parts == inside.parts
    assert across.step_seconds.low == inside.step_seconds.low
    sent = 7 / 8 * 3 * 2 * 8_030_261_248  # bytes: weights twice, gradients once
    slower = 16 * sent * (1 / 12.5e9 - 1 / (0.3e9 * a100.interconnect_gbs))
    assert across.step_seconds.high - inside.step_seconds.high == pytest.approx(slower)


def test_a_network_that_the_administrator_names_is_expected(job):
    named = {"accelerators": [{"name": "a100-80gb", "networkGBs": 25}]}
    a100 = parse_overrides(named).find("a100-80gb")
    changes = {"method.type": "full", "distributed.zeroStage": 3, "distributed.nodes": 2}
    setup = setup_for(job(changes | {"resources.accelerators.perNode": 4}), a100, devices=8)
    sent = 7 / 8 * 3 * 2 * 8_030_261_248
    assert throughput(setup, a100, 2048).parts["communication"] == pytest.approx(sent / (0.8 * 25e9))


@pytest.mark.parametrize(("attention", "factor"), [("sdpa", 3.5), ("eager", 6)])
def test_fused_attention_computes_its_scores_again_and_eager_attention_the_masked_half(
    job, a100, attention, factor
):
    setup = setup_for(job({"model.attention": attention}), a100)
    counts = count_parameters(setup)
    grown = flops_per_token(setup, counts, 2048) - flops_per_token(setup, counts, 0)
    assert grown == pytest.approx(factor * 2 * 2048 * 4096 * 32)


def test_a_slower_kernel_of_attention_takes_longer_and_nothing_else(job, a100):
    today = setup_for(job(), a100)
    parts = [
        throughput(setup, a100, 2048).parts
        for setup in (today, replace(today, program=FIRST_FLASH_ATTENTION))
    ]
    assert parts[1]["attention"] == pytest.approx(parts[0]["attention"] * 1.6)
    assert parts[1] | {"attention": 0} == parts[0] | {"attention": 0}


def test_what_is_fp32_beside_a_narrower_arithmetic_runs_at_the_speed_of_fp32(job):
    t4 = find_accelerator("t4")
    changes = {
        "method.type": "qlora",
        "quantization.type": "nf4",
        "model.id": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    }
    trainer = setup_for(job(changes), t4)
    plain = replace(trainer, program=PLAIN_LOOP)
    assert pass_work(trainer, count_parameters(trainer), 1024).wide_products == 0
    assert pass_work(plain, count_parameters(plain), 1024).wide_products > 0
    assert (
        throughput(plain, t4, 1024).step_seconds.expected
        > throughput(trainer, t4, 1024).step_seconds.expected
    )


def test_ligers_kernels_move_fewer_bytes_and_are_fewer(job, a100):
    eager, fused = (
        throughput(setup_for(job({"model.kernels": kernels}), a100), a100, 2048).parts
        for kernels in ("none", "liger")
    )
    assert fused["memory"] < 0.8 * eager["memory"]
    assert fused["dispatch"] < eager["dispatch"]


def test_tf32_is_faster_than_fp32_where_the_device_has_it(job, a100):
    speeds = [
        estimate(job({"training.precision": precision}), a100, **COUNTED).tokens_per_second.expected
        for precision in ("fp32", "tf32")
    ]
    assert speeds[1] > 2 * speeds[0]


def test_dropout_moves_the_adapters_own_type_which_deepspeed_holds_in_16_bit(job, a100):
    def moved(dropout, **engine):
        setup = setup_for(job({"method.lora.dropout": dropout} | engine), a100)
        return pass_work(setup, count_parameters(setup), 0).moved

    inputs = 32 * (6 * 4096 + 14336)
    each = {"torch": 4 + 4 + 1, "deepspeed": 2 + 2 + 1}  # what is read, what is written, and the mask
    for name, size in each.items():
        engine = {"distributed.engine": name}
        assert moved(0.1, **engine) - moved(0.0, **engine) == pytest.approx(3 * size * inputs)


def test_dora_takes_longer_than_lora(job, a100):
    plain, dora = (
        estimate(job({"method.type": method}), a100, **COUNTED).throughput.parts["memory"]
        for method in ("lora", "dora")
    )
    assert dora > plain


def test_collectives_are_not_hidden_behind_computing(job, a100):
    found = estimate(job({"method.type": "full", "distributed.zeroStage": 3}), a100, devices=8).throughput
    low, expected = found.step_seconds.low, found.step_seconds.expected
    assert found.parts["communication"] > 0
    assert expected - low > 16 * found.parts["communication"]


def test_more_devices_take_less_time(job, a100):
    one = estimate(job(), a100, devices=1, records=10000, tokens=10_000_000)
    eight = estimate(job(), a100, devices=8, records=10000, tokens=10_000_000)
    assert eight.duration_seconds.expected < one.duration_seconds.expected / 4
    assert eight.tokens_per_second.low > 2 * one.tokens_per_second.low
    assert eight.tokens_per_second.expected > 4 * one.tokens_per_second.expected


def test_short_passes_wait_for_their_kernels_to_start(job, a100):
    assert estimate(job(), a100, devices=1, records=100, tokens=1600).throughput.bound == "dispatch"
    assert estimate(job(), a100, **COUNTED).throughput.bound == "compute"


def test_zero_3_over_a_slow_link_waits_for_weights(job):
    l4 = find_accelerator("l4")
    changes = {"method.type": "full", "distributed.zeroStage": 3}
    found = estimate(job(changes), l4, devices=8, records=1000, tokens=100_000)
    assert found.throughput.bound == "communication"


def test_cost_energy_and_carbon_follow_from_time(job, a100):
    found = estimate(job(), a100, **COUNTED)
    hours = found.duration_seconds.expected / 3600
    assert found.cost.usd.expected == pytest.approx(hours * 1.79)
    assert found.cost.energy_kwh.expected == pytest.approx(hours * 1.58 * (0.8 * 400 + 100) / 1000)
    assert found.cost.carbon_grams.expected == pytest.approx(found.cost.energy_kwh.expected * 475)


def test_a_clean_grid_and_a_good_data_centre_emit_less(job, a100):
    clean = parse_overrides({"region": "norway", "pue": 1.1})
    usual = estimate(job(), a100, **COUNTED).cost.carbon_grams.expected
    found = estimate(job(), a100, catalog=clean, **COUNTED).cost.carbon_grams.expected
    assert found == pytest.approx(usual * 30 / 475 * 1.1 / 1.58)


@pytest.mark.parametrize(
    ("devices", "layout"), [(1, (1, 1)), (8, (1, 8)), (128, (2, 64)), (67, (67, 1)), (96, (2, 48))]
)
def test_devices_are_laid_out_on_nodes_as_the_api_allows(job, a100, devices, layout):
    spec = on_devices(job(), a100, devices).spec
    assert (spec.distributed.nodes, spec.resources.accelerators.per_node) == layout
    assert estimate(job(), a100, devices=devices).setup.ranks == devices


def test_a_device_without_a_number_for_the_precision_is_taken_at_its_slowest(job):
    own = {"name": "own", "memoryGiB": 80, "tflops": {"fp16": 100.0}, "bandwidthGBs": 1000.0}
    catalog = parse_overrides({"accelerators": [own | {"watts": 300.0, "interconnectGBs": 64.0}]})
    found = estimate(job({"training.precision": "fp32"}), catalog.find("own"), devices=1)
    assert found.duration_seconds.expected > 0
    assert found.cost.usd is None
