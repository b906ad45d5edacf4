"""Accelerators of the nodes: from labels and allocatable resources to an entry of the catalog."""

import pytest

from finetune_api import parse_job
from finetune_api.hardware import (
    HardwareCatalog,
    accelerator_for,
    accelerators_on,
    largest_for,
    parse_overrides,
)

CATALOG = HardwareCatalog()


def node(name="gpu-1", product="NVIDIA-A100-SXM4-80GB", memory="81920", count="8", labels=None, spec=None):
    known = {
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.memory": memory,
        "nvidia.com/gpu.count": count,
    }
    return {
        "metadata": {
            "name": name,
            "labels": {k: v for k, v in known.items() if v is not None} | (labels or {}),
        },
        "spec": spec or {},
        "status": {"allocatable": {"cpu": "64", "nvidia.com/gpu": count} if count else {"cpu": "64"}},
    }


def job(per_node=1, **resources):
    accelerators = {"perNode": per_node} | resources.pop("accelerators", {})
    return parse_job(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "dates"},
            "spec": {
                "model": {"id": "gpt2"},
                "dataset": {"train": {"hub": {"id": "a/b"}}},
                "resources": {"accelerators": accelerators, **resources},
            },
        }
    )


def offered(wanted, *nodes, catalog=CATALOG):
    found = accelerator_for(wanted, [item for one in nodes for item in accelerators_on(one)], catalog)
    return found and (found.name, found.memory_gib)


def largest(wanted, *nodes):
    found = largest_for(wanted, [item for one in nodes for item in accelerators_on(one)], CATALOG)
    return found and (found.name, found.memory_gib)


def test_a_node_says_what_it_has():
    (found,) = accelerators_on(node())
    assert (found.node, found.resource, found.count, found.memory_gib) == ("gpu-1", "nvidia.com/gpu", 8, 80.0)


@pytest.mark.parametrize("without", [node(count=None), node(count="0")])
def test_nothing_is_there_without_devices(without):
    assert accelerators_on(without) == ()


@pytest.mark.parametrize("nonsense", ["-1", "1e9", "٣", "9" * 40, "many"])
def test_labels_that_are_no_numbers_are_left_out(nonsense):
    (found,) = accelerators_on(node(memory=nonsense))
    assert found.memory_gib is None


def test_amd_nodes_are_read_too():
    labels = {"amd.com/gpu.product-name": "AMD-MI300X", "amd.com/gpu.vram": "192G"}
    amd = node(product=None, memory=None, count=None, labels=labels)
    amd["status"]["allocatable"]["amd.com/gpu"] = "8"
    wanted = job(accelerators={"resourceName": "amd.com/gpu"})
    assert offered(wanted, amd) == ("mi300x", 192)


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA-A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA-A100-PCIE-40GB", "a100-40gb"),
        ("NVIDIA-H100-80GB-HBM3", "h100-80gb"),
        ("NVIDIA-H100-PCIe", "h100-pcie"),
        ("NVIDIA-L4", "l4"),
        ("NVIDIA-L4-SHARED", "l4"),
        ("Tesla-T4", "t4"),
        ("Tesla-V100-SXM2-32GB", "v100-32gb"),
        ("NVIDIA-GeForce-RTX-4090", "rtx4090"),
    ],
)
def test_products_are_found_in_the_catalog(product, name):
    assert offered(job(), node(product=product)) == (name, 80.0)


def test_a_slice_is_a_part_of_the_device_that_the_label_names():
    sliced = node(product="NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", memory="9728")
    assert offered(job(), sliced) == ("a100-80gb-mig-1g.10gb", 9.5)


def test_slices_of_several_sizes_are_resources_of_their_own():
    mixed = node(count=None, labels={
        "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
        "nvidia.com/mig-3g.40gb.memory": "40320",
    })  # fmt: skip
    mixed["status"]["allocatable"] |= {"nvidia.com/mig-3g.40gb": "2", "nvidia.com/mig-1g.10gb": "1"}
    large = job(accelerators={"resourceName": "nvidia.com/mig-3g.40gb"})
    assert offered(large, mixed) == ("h100-80gb-mig-3g.40gb", 39.4)
    named = job(accelerators={"resourceName": "nvidia.com/mig-3g.40gb", "type": "h100-80gb"})
    assert offered(named, mixed) == ("h100-80gb-mig-3g.40gb", 39.4)


def test_the_memory_of_a_slice_is_known_by_the_name_of_its_resource():
    assert offered(job(accelerators={"resourceName": "nvidia.com/mig-1g.10gb"})) == (
        "a100-80gb-mig-1g.10gb",
        10,
    )
    on_h200 = job(accelerators={"resourceName": "nvidia.com/mig-1g.18gb"})
    assert offered(on_h200) == ("h200-mig-1g.18gb", 18)
    named = job(accelerators={"resourceName": "nvidia.com/mig-1g.18gb", "type": "h200"})
    assert offered(named) == ("h200-mig-1g.18gb", pytest.approx(139.8 / 8))
    assert offered(job(accelerators={"resourceName": "nvidia.com/mig-1g.999gb"})) is None


def test_without_feature_discovery_nothing_is_known():
    assert offered(job(), node(product=None, memory=None)) is None


def test_of_several_kinds_the_one_with_most_memory_counts():
    assert offered(job(), node("a", "Tesla-T4", "15360"), node("b")) == ("a100-80gb", 80.0)


def test_only_nodes_with_enough_devices_and_the_wanted_labels_count():
    few = node("a", count="2")
    other = node("b", "NVIDIA-L4", "23034", labels={"pool": "small"})
    assert offered(job(4), few, other) == ("l4", 22.5)
    assert offered(job(nodeSelector={"pool": "small"}), few, other) == ("l4", 22.5)
    assert offered(job(nodeSelector={"pool": "none"}), few, other) is None


T4 = node("a", "Tesla-T4", "15360")
CORDONED = {"unschedulable": True}


def test_a_job_runs_on_no_cordoned_node_but_could_once_it_is_free_again():
    cordoned = node("b", spec=CORDONED)
    assert offered(job(), T4, cordoned) == ("t4", 15)
    assert largest(job(), T4, cordoned) == ("a100-80gb", 80)
    assert offered(job(), cordoned) is None


@pytest.mark.parametrize("product", ["NVIDIA-H20", "NVIDIA-GH200-480GB", "NVIDIA-H100-NVL", None])
def test_nobody_can_tell_the_most_memory_where_a_node_is_unknown(product):
    assert offered(job(), T4, node("b", product, None)) == ("t4", 15)
    assert largest(job(), T4, node("b", product, None)) is None
    assert largest(job(), T4, node("b", product, "97871")) is None
    assert largest(job(), T4, node("b", product, None, spec=CORDONED)) is None


def test_an_unknown_device_whose_node_says_that_it_has_no_more_changes_nothing():
    assert largest(job(), T4, node("b", "Tesla-P4", "7611")) == ("t4", 15)
    assert largest(job(), T4, node("b", "NVIDIA-H20-MIG-1g.12gb", None)) == ("t4", 15)
    assert largest(job(), T4, node("b", "NVIDIA-H20-MIG-2g.24gb", None)) is None


def test_nodes_that_the_job_can_not_get_change_nothing():
    unknown = node("b", "NVIDIA-H20", None, count="2")
    assert largest(job(4), node("a", "Tesla-T4", "15360"), unknown) == ("t4", 15)
    named = job(accelerators={"type": "t4"})
    assert largest(named, T4, unknown) == ("t4", 15)


def test_a_named_accelerator_stays_and_has_the_memory_that_its_nodes_say():
    named = job(accelerators={"type": "a100"})
    assert offered(named, node("a", memory="81251"), node("b", "NVIDIA-H200", "143771")) == (
        "a100-80gb",
        79.3,
    )
    assert offered(named) == ("a100-80gb", 79.3)
    assert offered(job(accelerators={"type": "nobody-knows"}), node()) is None


def test_jobs_on_cpu_have_no_accelerator():
    assert offered(job(0), node()) is None


def test_an_own_accelerator_is_found_by_its_product():
    own = {
        "name": "house-gpu", "memoryGiB": 64.0, "tflops": {"bf16": 200.0}, "bandwidthGBs": 1500.0,
        "watts": 350.0, "interconnectGBs": 64.0, "aliases": ["HOUSE GPU 64GB"], "multiprocessors": 64,
    }  # fmt: skip
    catalog = parse_overrides({"accelerators": [own]})
    assert offered(job(), node(product="House-GPU-64GB", memory=None), catalog=catalog) == ("house-gpu", 64)
    assert catalog.find("house-gpu").multiprocessors == 64
