"""What the operator knows of devices: the administrator's list, and the nodes that are there.

Nodes are listed now and then, not watched: they are for estimates only, and report themselves every few
seconds. Where the operator may not list them, it goes on without.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from finetune_api import Finding, FineTuneJob, validate_job
from finetune_api.catalog import architecture_of
from finetune_api.estimate import automatic
from finetune_api.hardware import (
    Accelerator,
    HardwareCatalog,
    NodeAccelerators,
    accelerator_for,
    accelerators_on,
)
from finetune_api.validation.rules.estimate import MEMORY_CODES, memory_fit_on
from finetune_operator.cluster import Cluster, Manifest, Resource
from finetune_operator.errors import ApiError

logger = logging.getLogger(__name__)

NODES = Resource("v1", "nodes")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The devices that a job may run on, and what they cost."""

    catalog: HardwareCatalog = field(default_factory=HardwareCatalog)
    nodes: tuple[NodeAccelerators, ...] = ()

    def for_job(self, job: FineTuneJob) -> Accelerator | None:
        """The accelerator that the job names or, where it names none, the nodes offer it."""
        return accelerator_for(job, self.nodes, self.catalog)

    def decided(self, job: FineTuneJob) -> FineTuneJob:
        """The job with what `auto` means on the accelerator that it runs on."""
        return automatic(job, self.for_job(job), self.catalog)


def findings(job: FineTuneJob, hardware: Hardware) -> list[Finding]:
    """Every finding about a job, those about memory for the devices that are there."""
    accelerator = hardware.for_job(job)
    known = architecture_of(job.spec.model) is not None and job.spec.resources.command is None
    if accelerator is None or not known:
        return validate_job(job)
    others = [finding for finding in validate_job(job) if finding.code not in MEMORY_CODES]
    return [*others, *memory_fit_on(hardware.decided(job), accelerator)]


class HardwareStore:
    """The newest that is known of the hardware."""

    def __init__(self, catalog: HardwareCatalog, *, read_nodes: bool) -> None:
        """`read_nodes` says whether the operator was given the right to list nodes."""
        self._read_nodes = read_nodes
        self.hardware = Hardware(catalog)

    async def refresh(self, cluster: Cluster) -> None:
        """List the nodes; what was known stays where that fails."""
        if not self._read_nodes:
            return
        try:
            listing = await cluster.list_all(NODES)
        except ApiError as error:
            logger.warning("nodes can't be listed, so estimates go by the catalog alone: %s", error)
            return
        self.hardware = Hardware(self.hardware.catalog, seen(listing.items))


def seen(nodes: Iterable[Manifest]) -> tuple[NodeAccelerators, ...]:
    """The accelerators of all nodes, by node."""
    found = [accelerator for node in nodes for accelerator in accelerators_on(node)]
    return tuple(sorted(found, key=lambda item: (item.node, item.resource)))
