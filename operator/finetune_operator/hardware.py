"""What the operator knows of devices: the administrator's list, and the nodes that are there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    largest_for,
    named_accelerator,
)
from finetune_api.validation import Code
from finetune_api.validation.rules.estimate import memory_fit_on


@dataclass(frozen=True, slots=True)
class Hardware:
    """The devices that a job may run on, and what they cost."""

    catalog: HardwareCatalog = field(default_factory=HardwareCatalog)
    nodes: tuple[NodeAccelerators, ...] = ()

    def for_job(self, job: FineTuneJob) -> Accelerator | None:
        """The accelerator that the job names or, where it names none, the nodes offer it."""
        return accelerator_for(job, self.nodes, self.catalog)

    def largest_for(self, job: FineTuneJob) -> Accelerator | None:
        """The accelerator with most memory that the job could get; None where nobody can tell."""
        return largest_for(job, self.nodes, self.catalog)

    def nodes_alone_limit(self, job: FineTuneJob) -> bool:
        """Whether only the nodes say that the job gets no more memory, which other nodes would change."""
        largest = self.largest_for(job)
        named = named_accelerator(job.spec.resources.accelerators, self.catalog)
        return largest is not None and (named is None or largest.memory_gib < named.memory_gib)

    def decided(self, job: FineTuneJob) -> FineTuneJob:
        """The job with what `auto` means on the accelerator that it runs on."""
        return automatic(job, self.for_job(job), self.catalog)


def findings(job: FineTuneJob, hardware: Hardware) -> list[Finding]:
    """Every finding about a job, those about memory for the devices that are there."""

    def memory_rule(job: FineTuneJob, _target: str) -> Iterator[Finding]:
        return _about_memory(job, hardware)

    return validate_job(job, memory_rule=memory_rule)


def _about_memory(job: FineTuneJob, hardware: Hardware) -> Iterator[Finding]:
    accelerator = hardware.largest_for(job)
    known = architecture_of(job.spec.model) is not None and job.spec.resources.command is None
    if accelerator is None or not known:
        return
    for finding in memory_fit_on(automatic(job, accelerator, hardware.catalog), accelerator):
        refused = finding.code == Code.DOES_NOT_FIT.value
        yield _until_nodes_change(job, finding) if refused and hardware.nodes_alone_limit(job) else finding


def _until_nodes_change(job: FineTuneJob, refused: Finding) -> Finding:
    """The same finding, as one that holds only for the nodes of now."""
    remedy = refused.remedy
    if job.spec.resources.accelerators.type is None:
        remedy += (
            ", or, where a pool of larger nodes scales from zero, name its accelerator in "
            "resources.accelerators.type"
        )
    return refused.model_copy(update={"code": Code.NO_NODE_FITS.value, "remedy": remedy})


def accelerators_of(nodes: Iterable[Mapping[str, Any]]) -> Iterator[NodeAccelerators]:
    """The accelerators of these nodes."""
    return (accelerator for node in nodes for accelerator in accelerators_on(node))


def in_order(found: Iterable[NodeAccelerators]) -> tuple[NodeAccelerators, ...]:
    """The accelerators by node: the same ones are the same hardware, however they were listed."""
    return tuple(sorted(found, key=lambda item: (item.node, item.resource)))
