"""Rules about `spec.training.schedule`."""

from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.rules_over_sections import STABLE_RATIO
from finetune_api.training import ScheduleSpec
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, broken, error


def schedule(job: FineTuneJob, _target: str) -> Iterator[Finding]:
    """Phases that fit into the run, and settings that belong to the schedule's type."""
    spec = job.spec.training.schedule
    yield from _settings(spec)
    yield from _phases(spec, job.spec.training.max_steps)


def _settings(spec: ScheduleSpec) -> Iterator[Finding]:
    given = {
        "startLearningRateRatio": (spec.start_learning_rate_ratio, 0.0, "cosine"),
        "minLearningRateRatio": (spec.min_learning_rate_ratio, 0.0, "cosine"),
        "cycles": (spec.cycles, 1, "cosineWithRestarts"),
        "power": (spec.power, 1.0, "polynomial"),
        "patience": (spec.patience, 10, "reduceOnPlateau"),
        "factor": (spec.factor, 0.1, "reduceOnPlateau"),
    }
    if spec.stable_ratio is not None and spec.type != "warmupStableDecay":
        yield broken(Code.CONFLICT, STABLE_RATIO, words={"type": spec.type})
    for field, (value, default, kind) in given.items():
        if value != default and spec.type != kind:
            yield error(
                Code.CONFLICT,
                f"training.schedule.{field}",
                f"belongs to schedule.type {kind}, and the type is {spec.type}",
                f"Remove {field} or use schedule.type {kind}",
                value,
            )


def _phases(spec: ScheduleSpec, max_steps: int | None) -> Iterator[Finding]:
    steps = spec.warmup_steps
    without = spec.warmup_ratio == 0 if steps is None else steps == 0
    if spec.start_learning_rate_ratio > 0 and without:
        yield error(
            Code.CONFLICT,
            "training.schedule.startLearningRateRatio",
            "is the rate that the warm-up begins with, and there is none",
            "Set training.schedule.warmupRatio, such as 0.03, or remove startLearningRateRatio",
            spec.start_learning_rate_ratio,
        )
    if steps is not None and max_steps is not None and steps >= max_steps:
        yield error(
            Code.CONFLICT,
            "training.schedule.warmupSteps",
            f"the warm-up would not end within training.maxSteps {max_steps}",
            "Use fewer warm-up steps",
            steps,
        )
    if steps is None and spec.stable_ratio is not None and spec.warmup_ratio + spec.stable_ratio >= 1:
        yield error(
            Code.CONFLICT,
            "training.schedule.stableRatio",
            f"leaves no steps for the decay after a warm-up of {spec.warmup_ratio}",
            "Keep warmupRatio + stableRatio below 1",
            spec.stable_ratio,
        )
