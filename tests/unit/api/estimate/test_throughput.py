"""FLOPs, time and cost."""

import pytest

from finetune_api.estimate import estimate, setup_for
from finetune_api.estimate.estimate import on_devices
from finetune_api.estimate.parameters import count_parameters
from finetune_api.estimate.throughput import flops_per_token
from finetune_api.hardware import find_accelerator, parse_overrides

N = 7_504_658_432  # linear layers and output embedding of Llama 3.1 8B
COUNTED = {"devices": 1, "records": 1000, "tokens": 2_048_000}


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"method.type": "full"}, 6),
        ({"method.type": "full", "training.gradientCheckpointing": "full"}, 8),
        ({"method.lora.rank": 1}, 4),
        ({"method.lora.rank": 1, "training.gradientCheckpointing": "full"}, 6),
    ],
)
def test_flops_per_token_are_those_of_the_weights_that_work(job, a100, changes, factor):
    setup = setup_for(job(changes), a100)
    assert flops_per_token(setup, count_parameters(setup), 0) == pytest.approx(factor * N, rel=0.003)


def test_causal_attention_adds_three_times_its_forward_pass(job, a100):
    setup = setup_for(job(), a100)
    counts = count_parameters(setup)
    grown = flops_per_token(setup, counts, 2048) - flops_per_token(setup, counts, 0)
    assert grown == 3 * 2 * 2048 * 4096 * 32


def test_more_devices_take_less_time(job, a100):
    one = estimate(job(), a100, devices=1, records=10000, tokens=10_000_000)
    eight = estimate(job(), a100, devices=8, records=10000, tokens=10_000_000)
    assert eight.duration_seconds.expected < one.duration_seconds.expected / 4
    assert eight.tokens_per_second > 4 * one.tokens_per_second


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
