"""The hardware catalog, and what administrators put over it."""

import pytest

from finetune_api.hardware import (
    ACCELERATORS,
    GRID,
    HardwareCatalog,
    HardwareOverrideError,
    find_accelerator,
    parse_overrides,
)

HOUSE_GPU = {
    "name": "house-gpu",
    "memoryGiB": 64.0,
    "tflops": {"bf16": 200.0},
    "bandwidthGBs": 1500.0,
    "watts": 350.0,
    "interconnectGBs": 64.0,
}


@pytest.mark.parametrize("name", ["h100-80gb", "H100", "NVIDIA H100 80GB HBM3", "nvidia_h100"])
def test_an_accelerator_is_found_by_its_names(name):
    assert find_accelerator(name).name == "h100-80gb"


def test_no_name_or_alias_stands_for_two_accelerators():
    names = [name for item in ACCELERATORS for name in (item.name, *item.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("item", ACCELERATORS, ids=lambda item: item.name)
def test_the_numbers_of_an_accelerator_are_plausible(item):
    assert 10 < item.memory_gib < 300
    assert max(item.tflops.values()) < 3000
    assert item.supports("fp16")
    assert item.price is None or (item.price.source and item.price.date)


def test_old_accelerators_have_no_bf16():
    assert not find_accelerator("t4").supports("bf16")
    assert find_accelerator("l4").supports("bf16")


def test_administrators_set_prices_region_and_pue():
    catalog = parse_overrides(
        {"region": "sweden", "pue": 1.1, "accelerators": [{"name": "h100", "usdPerHour": 1.5}]}
    )
    h100 = catalog.find("h100-80gb")
    assert (h100.price.usd_per_hour, h100.memory_gib) == (1.5, 79.6)
    assert (catalog.pue, catalog.carbon.region) == (1.1, "sweden")


def test_administrators_add_accelerators():
    assert parse_overrides({"accelerators": [HOUSE_GPU]}).find("house-gpu").memory_gib == 64


def test_nothing_changes_without_a_list():
    assert parse_overrides({}) == HardwareCatalog()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"accelerators": [{"name": "new"}]}, "needs memoryGiB, tflops"),
        ({"region": "atlantis"}, "hardware.region: atlantis is not known"),
        ({"pue": 0.5}, "hardware.pue"),
        ({"accelerators": [{"name": "h100", "price": 1}]}, "hardware.accelerators.0.price"),
    ],
)
def test_a_list_that_cannot_be_used_says_where_and_what_to_do(payload, message):
    with pytest.raises(HardwareOverrideError, match=message):
        parse_overrides(payload)


def test_a_device_sustains_less_than_its_peak():
    t4, a100 = find_accelerator("t4"), find_accelerator("a100-80gb")
    assert t4.sustained_flops("fp16") == pytest.approx(24e12)
    assert a100.sustained_flops("bf16") == pytest.approx(271e12, rel=0.001)


def test_what_is_emulated_runs_as_fast_as_the_precision_that_is_really_used():
    t4 = find_accelerator("t4")
    assert t4.sustained_flops("bf16") == t4.sustained_flops("fp32") == pytest.approx(4.05e12)


def test_administrators_set_what_a_device_sustains():
    catalog = parse_overrides(
        {"accelerators": [HOUSE_GPU | {"sustained": 0.7}, {"name": "l4", "sustained": 0.6}]}
    )
    assert catalog.find("house-gpu").sustained_flops("bf16") == pytest.approx(140e12)
    assert catalog.find("l4").sustained == 0.6


def test_a_price_or_an_intensity_that_nobody_looked_up_says_that_it_is_assumed():
    prices = [item.price.source for item in ACCELERATORS if item.price]
    assert [source for source in prices if "memory" in source] == [
        "assumed: AWS g5.xlarge on demand, from memory"
    ]
    assert not [item for item in GRID.values() if "memory" in item.source]
