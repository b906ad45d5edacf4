"""Accelerators of a cluster's nodes, read from labels and allocatable resources. Pure.

NVIDIA's GPU feature discovery labels a node with `nvidia.com/gpu.product` (the name that nvidia-smi shows,
with dashes), `.memory` (MiB of one device) and `.count`; AMD's node labeller with `amd.com/gpu.product-name`
and `.vram`. What can be scheduled is in `status.allocatable`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from finetune_api.hardware.accelerators import Accelerator
from finetune_api.hardware.overrides import HardwareCatalog
from finetune_api.hardware.slices import Slice, whole_device_of
from finetune_api.job import FineTuneJob
from finetune_api.resources import AcceleratorSpec

NVIDIA: Final = "nvidia.com/gpu"
AMD: Final = "amd.com/gpu"
SHARED: Final = "-shared"
"""What feature discovery appends to the product where several pods take turns on one device."""
SLICES: Final = "nvidia.com/mig-"
"""Resources of slices (MIG), where a node has several sizes; such a resource has labels of its own."""


@dataclass(frozen=True)
class NodeAccelerators:
    """The accelerators of one node that pods may use."""

    node: str
    resource: str
    """Extended resource, as in resources.accelerators.resourceName."""
    count: int
    """Devices that can be scheduled, whether or not they are taken."""
    product: str | None
    """Name that the node's label gives; None without feature discovery."""
    memory_gib: float | None
    """Memory of one device; None without feature discovery."""
    labels: Mapping[str, str]
    """All labels of the node, for node selectors."""
    cordoned: bool = False
    """Whether no pods are scheduled there for now."""


def accelerators_on(node: Mapping[str, Any]) -> tuple[NodeAccelerators, ...]:
    """The accelerators of a node object of the Kubernetes API, one entry per resource."""
    cordoned = bool((node.get("spec") or {}).get("unschedulable"))
    metadata = node["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    allocatable: Mapping[str, str] = (node.get("status") or {}).get("allocatable") or {}
    found = []
    nvidia = (NVIDIA, *sorted(resource for resource in allocatable if resource.startswith(SLICES)))
    for resource, product, memory in (
        *(
            (resource, labels.get(f"{resource}.product"), _number(labels.get(f"{resource}.memory"), 1 / 1024))
            for resource in nvidia
        ),
        (AMD, labels.get(f"{AMD}.product-name"), _number((labels.get(f"{AMD}.vram") or "").rstrip("G"), 1)),
    ):
        count = int(_number(allocatable.get(resource), 1) or 0)
        if count:
            found.append(
                NodeAccelerators(metadata["name"], resource, count, product, memory, labels, cordoned)
            )
    return tuple(found)


def accelerator_for(
    job: FineTuneJob, nodes: Iterable[NodeAccelerators], catalog: HardwareCatalog
) -> Accelerator | None:
    """The accelerator that a job would run on: the one that it names, else the one with most memory among the
    nodes that have enough of the resource, match its node selector and are not cordoned; None where neither
    tells. Its memory is what the nodes say where they say it.
    """
    return _largest_known(job, _matching(job, [node for node in nodes if not node.cordoned]), catalog)


def largest_for(
    job: FineTuneJob, nodes: Iterable[NodeAccelerators], catalog: HardwareCatalog
) -> Accelerator | None:
    """The accelerator with most memory that a job could get: what can't fit there fits nowhere, and only then
    may the job be refused. Cordoned nodes count, since they come back.

    None where neither job nor nodes tell, and where a node that the catalog does not know may have more.
    """
    matching = _matching(job, nodes)
    largest = _largest_known(job, matching, catalog)
    if largest is None or job.spec.resources.accelerators.type:
        return largest
    unknown = (node for node in matching if known_accelerator(node, catalog) is None)
    return None if any(_most_memory(node) > largest.memory_gib for node in unknown) else largest


def _matching(job: FineTuneJob, nodes: Iterable[NodeAccelerators]) -> list[NodeAccelerators]:
    """The nodes that have enough of the resource that a job asks for, and match its node selector."""
    resources = job.spec.resources
    wanted, selector = resources.accelerators, resources.node_selector or {}
    return [
        node
        for node in nodes
        if node.resource == wanted.resource_name
        and 0 < wanted.per_node <= node.count
        and selector.items() <= node.labels.items()
    ]


def _largest_known(
    job: FineTuneJob, matching: Iterable[NodeAccelerators], catalog: HardwareCatalog
) -> Accelerator | None:
    """The accelerator with most memory that the catalog knows on these nodes, of the type that the job names
    where it names one; what it names itself where there is none."""
    wanted = job.spec.resources.accelerators
    if not wanted.per_node:
        return None
    there = [known for node in matching if (known := known_accelerator(node, catalog)) is not None]
    named = named_accelerator(wanted, catalog)
    if wanted.type:
        there = [known for known in there if named is not None and known.name == named.name]
    return max(there, key=lambda known: known.memory_gib, default=named)


def _most_memory(node: NodeAccelerators) -> float:
    """The most memory that a device of a node may have, in GiB, whatever it is: what the node says, else the
    size in a slice's name."""
    if node.memory_gib is not None:
        return node.memory_gib
    part = Slice.of(node.product or "") or Slice.of(node.resource)
    return inf if part is None else part.gigabytes


def named_accelerator(wanted: AcceleratorSpec, catalog: HardwareCatalog) -> Accelerator | None:
    """The accelerator that a job itself names: by `type`, or by a resource that is a slice of a device; of a
    slice whose device is not named, the slowest that has such slices, with the memory in the slice's name,
    which none exceeds. None where it names none."""
    part = Slice.of(wanted.resource_name)
    device = catalog.find(wanted.type) if wanted.type else None
    if part is None:
        return device
    if wanted.type:
        return device and part.cut_from(device)
    slowest = whole_device_of(part, catalog.accelerators)
    return slowest and replace(part.cut_from(slowest), memory_gib=float(part.gigabytes))


def known_accelerator(node: NodeAccelerators, catalog: HardwareCatalog) -> Accelerator | None:
    """The catalog's entry for a node's product, or the slice of it that the product or the resource names,
    with the memory that the node says; None for others."""
    product = (node.product or "").lower().removesuffix(SHARED)
    part = Slice.of(product) or Slice.of(node.resource)
    known = catalog.find(product.removesuffix(f"-{part.name}") if part else product)
    if known is not None and part is not None:
        known = part.cut_from(known)
    if known is None or node.memory_gib is None:
        return known
    return replace(known, memory_gib=round(node.memory_gib, 1))


def _number(text: str | None, unit: float) -> float | None:
    """A plain decimal number of `text`, times `unit`; None for anything else that a label may hold."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 12:
        return None
    return int(text) * unit
