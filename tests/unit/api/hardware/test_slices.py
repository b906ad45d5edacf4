"""Slices of a device: what their names say, and what follows."""

import pytest

from finetune_api.hardware import find_accelerator
from finetune_api.hardware.slices import Slice


@pytest.mark.parametrize(
    ("resource", "compute", "gigabytes"),
    [
        ("nvidia.com/mig-1g.10gb", 1, 10),
        ("nvidia.com/mig-7g.141gb", 7, 141),
        ("nvidia.com/mig-1g.10gb.me", 1, 10),
        ("nvidia-a100-sxm4-80gb-mig-3g.40gb", 3, 40),
    ],
)
def test_a_name_says_how_much_of_a_device_it_is(resource, compute, gigabytes):
    found = Slice.of(resource)
    assert (found.compute, found.gigabytes) == (compute, gigabytes)


@pytest.mark.parametrize(
    "other", ["nvidia.com/gpu", "nvidia.com/mig-8g.80gb", "mig-1g.0gb", "nvidia.com/mig-1g", "mig-1g.9999gb"]
)
def test_other_names_are_no_slices(other):
    assert Slice.of(other) is None


def test_a_slice_has_its_share_of_speed_bandwidth_power_and_price():
    whole = find_accelerator("a100-80gb")
    part = Slice.of("mig-3g.40gb").cut_from(whole)
    assert part.tflops["bf16"] == pytest.approx(whole.tflops["bf16"] * 3 / 7)
    assert part.bandwidth_gbs == whole.bandwidth_gbs / 2
    assert part.watts == pytest.approx(whole.watts * 3 / 7)
    assert part.price.usd_per_hour == pytest.approx(whole.price.usd_per_hour * 3 / 7)
    assert part.memory_gib == whole.memory_gib / 2


@pytest.mark.parametrize(
    ("name", "published"),
    [("1g.10gb", 9.75), ("1g.20gb", 19.62), ("2g.20gb", 19.62), ("3g.40gb", 39.5), ("7g.80gb", 79.25)],
)
def test_no_slice_of_an_h100_has_less_memory_than_nvidia_publishes(name, published):
    """`nvidia-smi mig -lgip` on an H100 (NVIDIA, Multi-Instance GPU User Guide), in GiB."""
    part = Slice.of(f"mig-{name}").cut_from(find_accelerator("h100-80gb"))
    assert published <= part.memory_gib <= 1.025 * published


def test_a_slice_that_the_device_does_not_have_has_the_memory_of_its_name():
    part = Slice.of("mig-1g.12gb").cut_from(find_accelerator("h100-80gb"))
    assert part.memory_gib == 12
