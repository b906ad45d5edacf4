"""What the operator knows of devices: the administrator's list, and the nodes that are there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    return for_hardware(job, validate_job(job), hardware)


def for_hardware(job: FineTuneJob, found: Sequence[Finding], hardware: Hardware) -> list[Finding]:
    """The findings about a job, those about memory made again, in their place, for the devices there are."""
    accelerator = hardware.for_job(job)
    known = architecture_of(job.spec.model) is not None and job.spec.resources.command is None
    if accelerator is None or not known:
        return list(found)
    place = next((at for at, finding in enumerate(found) if finding.code in MEMORY_CODES), len(found))
    others = [finding for finding in found if finding.code not in MEMORY_CODES]
    return [*others[:place], *memory_fit_on(hardware.decided(job), accelerator), *others[place:]]


def seen(nodes: Iterable[Mapping[str, Any]]) -> tuple[NodeAccelerators, ...]:
    """The accelerators of all nodes, by node."""
    found = [accelerator for node in nodes for accelerator in accelerators_on(node)]
    return tuple(sorted(found, key=lambda item: (item.node, item.resource)))
