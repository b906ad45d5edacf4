"""What the estimator expects of a job, as status shows it from the moment that the job is accepted."""

from __future__ import annotations

from finetune_api import FineTuneJob
from finetune_api.estimate import UnknownArchitectureError, estimate
from finetune_api.hardware import HardwareCatalog
from finetune_api.status import EstimateStatus


def estimated(job: FineTuneJob, catalog: HardwareCatalog) -> EstimateStatus | None:
    """The compact estimate; None where the job names no accelerator of the catalog, runs a program of its
    own, or trains a model that nobody knows in numbers.

    Memory is always there. The operator has not counted the data, so steps, time, cost, energy and carbon are
    there only where training.maxSteps fixes the number of steps.
    """
    resources = job.spec.resources
    accelerator = catalog.find(resources.accelerators.type or "")
    if accelerator is None or not resources.accelerators.per_node or resources.command is not None:
        return None
    try:
        expected = estimate(job, accelerator, catalog=catalog)
    except UnknownArchitectureError:
        return None
    memory = f"{expected.memory.expected / 2**30:.1f}"
    if not expected.steps.exact:
        return EstimateStatus(memory_per_device_gib=memory)
    usd = expected.cost.usd
    return EstimateStatus(
        memory_per_device_gib=memory,
        steps=round(expected.steps.steps.expected),
        duration_seconds=round(expected.duration_seconds.expected),
        cost_usd=None if usd is None else f"{usd.expected:.2f}",
        energy_kwh=f"{expected.cost.energy_kwh.expected:.2f}",
        carbon_grams=f"{expected.cost.carbon_grams.expected:.0f}",
    )
