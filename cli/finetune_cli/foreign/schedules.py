"""What `lr_scheduler_kwargs` means for a job, which depends on the schedule and on other keys."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from finetune_cli.foreign.reading import Line, Reading
from finetune_cli.foreign.rules import Mapped, NotMapped, Read, Result, Table, To

_UNREAD: Final = "lr_scheduler_kwargs."
"""Stands in front of what `settled` gives its meaning."""

Schedule = Mapping[str, Any]
"""The rest of the spec's `training.schedule`, with `learningRate` and `maxSteps` of `training`."""


def _later(name: str) -> Read:
    return Read(lambda value: Mapped({_UNREAD + name: value}))


TABLE: Final[Table] = {
    "lr_scheduler_kwargs.min_lr_rate": To("training.schedule.minLearningRateRatio"),
    "lr_scheduler_kwargs.warmup_lr_rate": To("training.schedule.startLearningRateRatio"),
    "lr_scheduler_kwargs.power": To("training.schedule.power"),
    "lr_scheduler_kwargs.lr_end": Read(
        lambda value: Mapped({}, "as here") if value == 0 else NotMapped("the rate always falls to nothing")
    ),
    "lr_scheduler_kwargs.patience": To("training.schedule.patience"),
    "lr_scheduler_kwargs.factor": To("training.schedule.factor"),
    **{
        f"lr_scheduler_kwargs.{name}": _later(name)
        for name in ("min_lr", "num_cycles", "num_decay_steps", "num_stable_steps")
    },
}
"""Keys of transformers' schedules that a job has fields for."""


def settled(reading: Reading) -> Reading:
    """Return `reading` with what is said of its schedule, now that the rest of the spec is known."""
    spec = {**reading.spec}
    unread: Mapping[str, Any] = spec.pop(_UNREAD.rstrip("."), {})
    if not unread:
        return reading
    training = {**spec.get("training", {})}
    schedule = {**training.get("schedule", {})}
    known = {**schedule, **{key: training.get(key) for key in ("learningRate", "maxSteps")}}
    lines = {line.paths: line for line in reading.lines}
    for name, value in unread.items():
        line = lines[(_UNREAD + name,)]
        try:
            result = _MEANINGS[name](value, known)
        except (TypeError, ValueError):
            result = NotMapped("the value is not of the kind that the key wants")
        if isinstance(result, Mapped):
            schedule |= {path.rpartition(".")[2]: said for path, said in result.values.items()}
        lines[line.paths] = _said(line, result)
    spec["training"] = {**training, **({"schedule": schedule} if schedule else {})}
    return Reading(spec, tuple(lines.get(line.paths, line) for line in reading.lines))


def _said(line: Line, result: Result) -> Line:
    if isinstance(result, NotMapped):
        return replace(line, paths=(), mapped=False, note=result.reason)
    return replace(line, paths=tuple(result.values), note=result.note)


def _lowest(value: Any, schedule: Schedule) -> Result:
    """Read the lowest rate, which is a share of the highest here."""
    if schedule.get("type", "cosine") != "cosine":
        return NotMapped("only the cosine ends above nothing")
    if schedule["learningRate"] is None:
        return NotMapped("a share here: set training.schedule.minLearningRateRatio")
    share = float(f"{float(value) / float(schedule['learningRate']):.10g}")
    if not 0 <= share <= 1:
        return NotMapped("it is above the learning rate")
    return Mapped({"training.schedule.minLearningRateRatio": share})


def _cycles(value: Any, schedule: Schedule) -> Result:
    if schedule.get("type") == "cosineWithRestarts":
        return Mapped({"training.schedule.cycles": value})
    return Mapped({}, "as here") if value == 0.5 else NotMapped("half a wave of the cosine is what a job has")


def _decay(value: Any, schedule: Schedule) -> Result:
    """Read the steps of the decay, of which a job knows the share of all steps before it."""
    total = schedule["maxSteps"]
    if total is None:
        return NotMapped("a share here: set training.schedule.stableRatio")
    return _stable(int(total) - math.ceil(_warmup(schedule, int(total))) - int(value), schedule)


def _stable(value: Any, schedule: Schedule) -> Result:
    total = schedule["maxSteps"]
    if total is None:
        return NotMapped("a share here: set training.schedule.stableRatio")
    share = float(f"{int(value) / int(total):.10g}")
    if not 0 <= share <= 1:
        return NotMapped("there are not so many steps")
    return Mapped({"training.schedule.stableRatio": share})


def _warmup(schedule: Schedule, total: int) -> float:
    steps = schedule.get("warmupSteps")
    return float(steps) if steps is not None else float(schedule.get("warmupRatio", 0)) * total


_MEANINGS: Final[Mapping[str, Callable[[Any, Schedule], Result]]] = {
    "min_lr": _lowest,
    "num_cycles": _cycles,
    "num_decay_steps": _decay,
    "num_stable_steps": _stable,
}
