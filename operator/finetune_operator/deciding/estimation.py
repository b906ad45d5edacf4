"""What the estimator expects of a job, as status shows it from the moment that the job is accepted, and what
is expected once the run itself has been measured."""

from __future__ import annotations

from finetune_api import AttemptStatus, FineTuneJob, FineTuneJobStatus
from finetune_api.estimate import GIB, UnknownArchitectureError, estimate
from finetune_api.estimate.measured import MIN_STEPS, Measured, expected_after
from finetune_api.status import CorrectedEstimateStatus, EstimateStatus
from finetune_operator.deciding.revision import revised
from finetune_operator.hardware import Hardware


def estimated(job: FineTuneJob, hardware: Hardware) -> EstimateStatus | None:
    """The compact estimate; None where nobody says which accelerator it would be, or the job runs a program
    of its own, or trains a model that nobody knows in numbers.

    Memory is always there. The operator has not counted the data, so steps, time, cost, energy and carbon are
    there only where training.maxSteps fixes the number of steps.
    """
    accelerator = hardware.for_job(job)
    if accelerator is None or job.spec.resources.command is not None:
        return None
    try:
        expected = estimate(hardware.decided(job), accelerator, catalog=hardware.catalog)
    except UnknownArchitectureError:
        return None
    memory = f"{expected.memory.expected / GIB:.1f}"
    if not expected.steps.exact:
        return EstimateStatus(accelerator=accelerator.name, memory_per_device_gib=memory)
    usd = expected.cost.usd
    return EstimateStatus(
        accelerator=accelerator.name,
        memory_per_device_gib=memory,
        steps=round(expected.steps.steps.expected),
        duration_seconds=round(expected.duration_seconds.expected),
        cost_usd=None if usd is None else f"{usd.expected:.2f}",
        energy_kwh=f"{expected.cost.energy_kwh.expected:.2f}",
        carbon_grams=f"{expected.cost.carbon_grams.expected:.0f}",
    )


def corrected(
    job: FineTuneJob, status: FineTuneJobStatus, record: AttemptStatus, hardware: Hardware
) -> FineTuneJobStatus:
    """The status with the estimate that follows from what the run has shown; what was predicted stays beside
    it.

    For the first time after 20 steps of an attempt, and again each time that the steps have doubled, so that
    a long run does not rewrite it with every report.
    """
    progress, before = status.progress, status.estimate or EstimateStatus()
    if progress is None or progress.total_steps is None or job.spec.resources.command is not None:
        return status
    done = progress.step - (record.resumed_step or 0)
    known = before.corrected.after_steps if before.corrected is not None else 0
    if done < MIN_STEPS or progress.step < 2 * known:
        return status
    measured = Measured.of(progress.step, progress.total_steps, progress.tokens, status.metrics)
    if measured is None:
        return status
    after = expected_after(hardware.decided(job), measured, hardware.for_job(job), hardware.catalog)
    usd = after.cost.usd if after.cost is not None else None
    found = CorrectedEstimateStatus(
        after_steps=measured.steps,
        tokens_per_second=f"{measured.tokens_per_second:.1f}",
        seconds_per_step=f"{measured.seconds_per_step:.3g}",
        memory_per_device_gib=None if after.memory is None else f"{after.memory / GIB:.1f}",
        duration_seconds=round(after.seconds),
        cost_usd=None if usd is None else f"{usd.expected:.2f}",
        energy_kwh=None if after.cost is None else f"{after.cost.energy_kwh.expected:.2f}",
        carbon_grams=None if after.cost is None else f"{after.cost.carbon_grams.expected:.0f}",
    )
    return revised(status, estimate=revised(before, measured=True, corrected=found))
