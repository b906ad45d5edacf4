"""The rules about memory: a job that can't fit on the accelerator that it names is refused before it costs,
and one whose pods have too little of their own is warned about."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from finetune_api.job import FineTuneJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, error, warning
from finetune_api.validation.rules.common import quantity

if TYPE_CHECKING:
    from finetune_api.hardware import Accelerator

PATH = "training.microBatchSize"

ROOM_GIB = 8
"""What is proposed beside the model: for libraries and data."""


def memory_fit(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """An error where not even the low bound fits the named accelerator, a warning where the high bound does
    not.

    Silent for jobs that name no accelerator of the catalog, whose model nobody knows in numbers, or that run
    a program of their own. The estimator is imported only where it is asked.
    """
    resources = job.spec.resources
    if not resources.accelerators.per_node or resources.command:
        return
    if not resources.accelerators.type and "mig-" not in resources.accelerators.resource_name:
        return
    from finetune_api.catalog import architecture_of
    from finetune_api.hardware import HardwareCatalog, named_accelerator

    accelerator = named_accelerator(resources.accelerators, HardwareCatalog())
    if accelerator is None or architecture_of(job.spec.model) is None:
        return
    from finetune_api.estimate import automatic

    decided = automatic(job, accelerator)
    yield from memory_fit_on(decided, accelerator)
    yield from _host_memory(decided, accelerator)


def _host_memory(job: FineTuneJob, accelerator: "Accelerator") -> Iterator[Finding]:
    """A warning where resources.memory is less than what must stand there."""
    from finetune_api.estimate import setup_for
    from finetune_api.estimate.host import host_memory

    needed = host_memory(setup_for(job, accelerator), job.spec.distributed.nodes) / 2**30
    memory = job.spec.resources.memory
    if needed <= quantity(memory) / 2**30:
        return
    yield warning(
        Code.HOST_MEMORY,
        "resources.memory",
        f"is less than the {needed:.0f} GiB of this model that stand in each pod's own memory, beside "
        "libraries and data, while it is read, offloaded or saved; the kernel would end the pods",
        f"Raise resources.memory to {math.ceil(needed) + ROOM_GIB}Gi",
        memory,
    )


def memory_fit_on(job: FineTuneJob, accelerator: "Accelerator") -> Iterator[Finding]:
    """The same findings for a job whose model is known, on an accelerator that is known.

    A raw DeepSpeed configuration can move more to the host than the estimator reads there, so such a job is
    warned about and never refused.
    """
    from finetune_api.estimate import estimate, nearest_fit

    result = estimate(job, accelerator)
    if not (result.cannot_fit or result.may_not_fit):
        return
    low, expected, high = (
        value / 2**30 for value in (result.memory.low, result.memory.expected, result.memory.high)
    )
    there = f"{accelerator.memory_gib:.1f} GiB of {accelerator.name} are there"
    batch = job.spec.training.sequences_per_pass
    nearest = nearest_fit(job, accelerator)
    remedy = f"Set {nearest.text}" if nearest else "Watch the first steps, or leave more room"
    if result.cannot_fit and job.spec.distributed.deepspeed_config is None:
        remedy = f"Set {nearest.text}" if nearest else "Use a larger accelerator, or a smaller model"
        message = f"needs at least {low:.0f} GiB per device (about {expected:.0f}); {there}"
        yield error(Code.DOES_NOT_FIT, PATH, message, remedy, batch)
    else:
        message = f"needs about {expected:.0f} GiB per device, and up to {high:.0f}; {there}"
        yield warning(Code.MAY_NOT_FIT, PATH, message, remedy, batch)
