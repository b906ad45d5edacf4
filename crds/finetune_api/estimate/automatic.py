"""What `auto` means on a given accelerator, and what a new job should start from there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from finetune_api.base import AUTO
from finetune_api.catalog import architecture_of
from finetune_api.estimate.estimate import Estimate, estimate, on_devices
from finetune_api.estimate.fit import Change, apply, as_text, mistakes, propose_fit, settings
from finetune_api.hardware import Accelerator, HardwareCatalog
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.validation.fields import value_at

MEMORY_EFFICIENT: Final = "sdpa"
"""Attention whose memory does not grow with the square of the length, on every device."""

SHORTEST: Final = 512
"""Sequences below this length are not suggested, in tokens."""

EFFECTIVE_BATCH: Final = 16
"""Sequences per optimizer step that a suggestion aims at, in whatever micro-batches fit."""


NEARLY: Final = 1.05
"""A run that takes at most this many times as long is as good where it shares less or needs less memory."""

KEPT: Final = ("quantization.type", "training.gradientCheckpointing")
"""What is not given up for that."""

COUPLED: Final[Mapping[str, tuple[str, ...]]] = {
    "training.microBatchSize": ("training.gradientAccumulationSteps",),
    "training.gradientCheckpointing": (),
    "distributed.zeroStage": (),
    "quantization.type": ("method.type",),
}
"""The fields whose `auto` memory decides, each with what changes along with it."""


def automatic(
    job: FineTuneJob, accelerator: Accelerator | None, catalog: HardwareCatalog | None = None
) -> FineTuneJob:
    """The job with every `auto` decided that memory and speed depend on.

    Of the settings that validation allows, the fastest counts of those that surely fit (whose high bound
    does), one with a 4-bit base only where no other surely fits. A lower ZeRO stage, and then a smaller
    micro-batch, is as good where steps take less than 5 % longer. Where nothing surely fits, the setting with
    the lowest high bound counts. Where the accelerator or the model is not known: one sequence at a time,
    stage 2 for several ranks, an unquantized base, and checkpointing is left to the trainer, which takes
    none.

    The other fields with `auto` are decided where the trainer runs, by what it finds there.
    """
    options = _options(job.spec)
    if not options:
        return job
    options = _allowed(job, options)
    if accelerator is None or architecture_of(job.spec.model) is None:
        return apply(job, _without_knowledge(options))
    judged = [(change, estimate(apply(job, change), accelerator, catalog=catalog)) for change in options]
    roomy = [(change, made) for change, made in judged if not (made.cannot_fit or made.may_not_fit)]
    if not roomy:
        return apply(job, min(judged, key=lambda option: option[1].memory.high)[0])
    return apply(job, _fastest(roomy))


def _fastest(roomy: list[tuple[Change, Estimate]]) -> Change:
    """The fastest without a 4-bit base, if there is one, or what is as good. The last few percent of speed
    are less than what padding costs a larger micro-batch, which is not estimated."""

    def seconds(option: tuple[Change, Estimate]) -> tuple[bool, float]:
        change, made = option
        return change.get("quantization.type", "none") != "none", made.duration_seconds.expected

    def sharing(option: tuple[Change, Estimate]) -> tuple[int, float]:
        change, made = option
        return change.get("distributed.zeroStage", 0), made.memory.expected

    best = min(roomy, key=seconds)
    limit = NEARLY * best[1].duration_seconds.expected
    as_good = [
        (change, made)
        for change, made in roomy
        if made.duration_seconds.expected <= limit
        and all(change.get(path) == best[0].get(path) for path in KEPT)
    ]
    return min(as_good, key=sharing)[0]


def _options(spec: FineTuneJobSpec) -> list[Change]:
    """Every value that the fields with `auto` can take together, the mildest first; none without such a
    field."""
    asked = {path for path in COUPLED if value_at(spec, path) == AUTO}
    free = asked.union(*(COUPLED[path] for path in asked))
    options: list[Change] = []
    for quantized in (False, True) if "quantization.type" in asked else (False,):
        for setting in settings(spec, quantized=quantized):
            whole = {"quantization.type": "none"} | setting
            option = {path: value for path, value in whole.items() if path in free}
            if option and option not in options:
                options.append(option)
    return options


def _allowed(job: FineTuneJob, options: list[Change]) -> list[Change]:
    """The options that validation refuses least: what else is wrong with the job, it says of each."""
    counts = [mistakes(apply(job, option)) for option in options]
    return [option for option, count in zip(options, counts, strict=True) if count == min(counts)]


def _without_knowledge(options: list[Change]) -> Change:
    """The mildest option, but for stage 2 where ranks can share; checkpointing stays open."""
    sharing = [option for option in options if option.get("distributed.zeroStage") == 2]
    mildest = (sharing or options)[0]
    return {path: value for path, value in mildest.items() if path != "training.gradientCheckpointing"}


@dataclass(frozen=True)
class Decided:
    """A job as it will run."""

    changes: Change
    """What was `auto`, and what changed with it, by field path."""
    estimate: Estimate
    undecided: Estimate
    """What `estimate` says of the job itself: with a micro-batch of 1, no checkpointing, stage 0 and an
    unquantized base for every `auto`."""

    @property
    def differs(self) -> bool:
        """Whether something else runs than `undecided` is about."""
        return self.estimate.setup != self.undecided.setup

    @property
    def text(self) -> str:
        """The changes, as one would write them."""
        return as_text(self.changes)

    def to_json_object(self) -> dict[str, Any]:
        """The estimate's figures, and beside them the changes."""
        return {"changes": self.changes} | self.estimate.to_json_object()


def decided(
    job: FineTuneJob,
    accelerator: Accelerator,
    *,
    devices: int | None = None,
    records: int | None = None,
    tokens: int | None = None,
    catalog: HardwareCatalog | None = None,
) -> Decided | None:
    """What `automatic` makes of a job; None where nothing of it is `auto`. Arguments and errors are those of
    `estimate`."""
    placed = on_devices(job, accelerator, devices)
    made = automatic(placed, accelerator, catalog)
    if made == placed:
        return None
    fields = [path for field, others in COUPLED.items() for path in (field, *others)]
    changes = {
        path: value for path in fields if (value := value_at(made.spec, path)) != value_at(placed.spec, path)
    }
    of = partial(estimate, accelerator=accelerator, records=records, tokens=tokens, catalog=catalog)
    return Decided(changes, of(made), of(placed))


def suggested(
    job: FineTuneJob, accelerator: Accelerator, catalog: HardwareCatalog | None = None
) -> tuple[Change, Estimate] | None:
    """Values for a new job on `accelerator`, by field path: arithmetic, attention, and the fastest
    micro-batch, checkpointing, ZeRO stage and quantization of the base that fit, for an effective batch of
    about 16; shorter sequences only where nothing else fits. None where nothing that is tried fits.

    Raises `UnknownArchitectureError` for a model that nobody knows in numbers.
    """
    ranks = max(1, job.spec.distributed.nodes * max(1, job.spec.resources.accelerators.per_node))
    basics: Change = {
        "training.precision": "bf16" if accelerator.supports("bf16") else "fp16",
        "model.attention": MEMORY_EFFICIENT,
        "training.microBatchSize": 1,
        "training.gradientAccumulationSteps": max(1, EFFECTIVE_BATCH // ranks),
    }
    length = job.spec.training.max_sequence_length
    while (proposal := propose_fit(apply(job, basics), accelerator, fewer=False, catalog=catalog)) is None:
        length //= 2
        if length < SHORTEST:
            return None
        basics["training.maxSequenceLength"] = length
    fastest = proposal[1]
    chosen = apply(job, basics | fastest.changes).spec
    shown: Change = {
        "training.gradientCheckpointing": chosen.training.gradient_checkpointing,
        "distributed.zeroStage": chosen.distributed.stage_of_zero,
    }
    if chosen.method.uses_adapters:
        shown["quantization.type"] = chosen.quantization.type
    return basics | fastest.changes | shown, fastest.estimate
