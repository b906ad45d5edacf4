"""What LLaMA-Factory and Axolotl say alike, since transformers' Trainer runs the loop of both."""

import math
from collections.abc import Mapping
from typing import Any, Final

from finetune_cli.foreign.arguments import SCHEDULES
from finetune_cli.foreign.draft import Draft
from finetune_cli.foreign.rules import Choice

STABLE_SHARE: Final = 0.8
"""Of all steps at the full rate, where training.schedule.stableRatio says nothing."""

_UNMEASURED: Final = "it measures the loss: its own metrics have other names"


def duration(draft: Draft) -> None:
    """Write steps, which replace epochs, and the steps of the warm-up, which replace its share."""
    if "training.maxSteps" in draft.values:
        draft.say("training.maxSteps", "training.epochs", max_steps=draft.values["training.maxSteps"])
    if "training.schedule.warmupSteps" in draft.values:
        steps = draft.values["training.schedule.warmupSteps"]
        draft.say("training.schedule.warmupSteps", "training.schedule.warmupRatio", warmup_steps=steps)


def schedule(draft: Draft, key: str) -> None:
    """Write the learning rate's schedule under `key`, and what it takes beside its name."""
    path = "training.schedule.type"
    kind = draft.values[path]
    if kind == "reduceOnPlateau" and not draft.evaluates:
        return draft.lose(path, "it waits for evaluations, and there are none")
    if kind == "warmupStableDecay" and "training.maxSteps" not in draft.values:
        return draft.lose(path, "its decay is counted in steps there: set training.maxSteps")
    name = Choice(path, SCHEDULES).write(kind)
    if kind == "constant" and _warmup(draft) > 0:
        name = "constant_with_warmup"
    draft.say(path, **{key: name})
    if more := _of_the_schedule(draft, kind):
        draft.say(*_ITS_OWN.get(kind, ()), lr_scheduler_kwargs=more)
    return None


_ITS_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "polynomial": ("training.schedule.power",),
    "cosineWithRestarts": ("training.schedule.cycles",),
    "reduceOnPlateau": ("training.schedule.patience", "training.schedule.factor"),
    "warmupStableDecay": ("training.schedule.stableRatio",),
}


def _of_the_schedule(draft: Draft, kind: str) -> dict[str, Any]:
    """What transformers wants to know of a schedule, by its own names."""
    values = draft.values
    match kind:
        case "polynomial":
            return {"power": values["training.schedule.power"], "lr_end": 0.0}
        case "cosineWithRestarts":
            return {"num_cycles": values["training.schedule.cycles"]}
        case "reduceOnPlateau":
            found = {name: values[f"training.schedule.{name}"] for name in ("patience", "factor")}
            return found | ({"mode": "max"} if values["checkpoints.greaterIsBetter"] else {})
        case "warmupStableDecay":
            total = values["training.maxSteps"]
            stable = round(total * values.get("training.schedule.stableRatio", STABLE_SHARE))
            return {"num_decay_steps": max(0, total - math.ceil(_warmup(draft)) - stable)}
    return {}


def _warmup(draft: Draft) -> float:
    """Steps of the warm-up; a share of one step where the number of steps is not known."""
    share = draft.values["training.schedule.warmupRatio"] * draft.values.get("training.maxSteps", 1)
    return float(draft.values.get("training.schedule.warmupSteps", share))


def cadence(draft: Draft, *, best: str = "") -> None:
    """Write when it evaluates and saves, and whether the best or the last state is the result.

    `best` is the reason why the program can't give the best one, where it can't.
    """
    evaluated = _strategy(draft, "eval", "evaluation") if draft.evaluates else "no"
    if not draft.evaluates:
        draft.say("evaluation.everySteps", "evaluation.atEpochEnd", "evaluation.microBatchSize")
    saved = _strategy(draft, "save", "checkpoints")
    if draft.values["output.checkpoint"] == "last":
        draft.say("output.checkpoint")
    elif reason := best or _not_best(draft, evaluated, saved):
        draft.lose("output.checkpoint", reason)
    else:
        draft.say("output.checkpoint", load_best_model_at_end=True)
    _metric(draft)


def _strategy(draft: Draft, key: str, section: str) -> str:
    """Write `…_strategy` and `…_steps`, and return the strategy: steps, epoch or no."""
    steps, at_epoch_end = f"{section}.everySteps", f"{section}.atEpochEnd"
    by_epoch = draft.values[at_epoch_end]
    if not draft.values[steps]:
        strategy = "epoch" if by_epoch else "no"
        draft.say(steps, at_epoch_end, **{f"{key}_strategy": strategy})
        return strategy
    draft.say(steps, **{f"{key}_strategy": "steps", f"{key}_steps": draft.values[steps]})
    if by_epoch:
        draft.lose(at_epoch_end, f"it counts steps or epochs: {steps} is what it is told")
    return "steps"


def _not_best(draft: Draft, evaluated: str, saved: str) -> str:
    """Why transformers would refuse to keep the best checkpoint; empty where it does not."""
    saves, evaluates = draft.values["checkpoints.everySteps"], draft.values["evaluation.everySteps"]
    if evaluated == "no":
        return "it has nothing to evaluate on"
    if evaluated != saved or (saved == "steps" and saves % evaluates):
        return (
            "it keeps the best one only where it saves as it evaluates: make checkpoints.everySteps a "
            "multiple of evaluation.everySteps"
        )
    return ""


def _metric(draft: Draft) -> None:
    """Write the metric that says what is better, where anything hangs on it."""
    metric, higher = "checkpoints.metric", "checkpoints.greaterIsBetter"
    stops = "training.earlyStopping.patience" in draft.values
    plateau = draft.values["training.schedule.type"] == "reduceOnPlateau"
    if not (draft.evaluates and (stops or plateau or "load_best_model_at_end" in draft.document)):
        draft.say(*(path for path in (metric, higher) if draft.values[path] in ("loss", False)))
    elif draft.values[metric].removeprefix("eval_") == "loss":
        draft.say(metric, higher, metric_for_best_model="loss", greater_is_better=draft.values[higher])
    else:
        draft.lose(metric, _UNMEASURED)
        draft.lose(higher, _UNMEASURED)
