"""What to change so that a job fits, and the cheapest and fastest setting that does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from finetune_api.catalog import architecture_of
from finetune_api.deepspeed import OFFLOADED, offloads
from finetune_api.estimate.estimate import Estimate, estimate, on_devices
from finetune_api.hardware import Accelerator, HardwareCatalog
from finetune_api.job import FineTuneJob, FineTuneJobSpec, processes_per_node
from finetune_api.validation import Finding, errors_in, validate_job
from finetune_api.validation.fields import value_at

Change = dict[str, Any]
"""New values by field path, as in `--set`."""
Evaluate = Callable[[FineTuneJob], Estimate]
"""The estimate of a job on devices that are settled."""

MORE_DEVICES: Final = (2, 4, 8, 16, 32, 64, 128, 256)

ALONE: Final = (
    "lomo",
    "adalomo",
    "galoreAdamw",
    "apolloAdamw",
    "stableAdamw",
    "scheduleFreeAdamw",
    "scheduleFreeSgd",
)
"""Optimizers that do not run under DeepSpeed, and so share nothing out."""

MOST_ACCUMULATION: Final = 65536
"""Highest training.gradientAccumulationSteps."""

COUPLED: Final = (
    ("training.maxSequenceLength",),
    ("quantization.type", "method.type"),
    ("distributed.zeroStage",),
    ("model.kernels",),
    ("training.gradientCheckpointing",),
    ("training.microBatchSize", "training.gradientAccumulationSteps"),
)
"""Fields that only change together, the gravest change first."""


@dataclass(frozen=True)
class Fit:
    """A changed job that fits, and that validation does not refuse for the changes."""

    changes: Change
    estimate: Estimate

    @property
    def text(self) -> str:
        """The changes, as one would write them."""
        return as_text(self.changes)


def as_text(changes: Change) -> str:
    """Changes as one would write them: `training.microBatchSize=1, …`."""
    return ", ".join(f"{path}={_shown(value)}" for path, value in changes.items())


def nearest_fit(
    job: FineTuneJob,
    accelerator: Accelerator,
    *,
    devices: int | None = None,
    catalog: HardwareCatalog | None = None,
) -> Fit | None:
    """The smallest change after which the job is expected to fit; None where it fits already, or nothing that
    is tried here helps.

    Tried in this order, each together with those before, and needless ones then taken back: smaller
    micro-batches with the same effective batch, checkpointing, Liger's kernels (whose loss needs no logits),
    sharing out by ZeRO, a 4-bit base, more devices, a base that ZeRO-3 can share out instead of a 4-bit one
    that each device loads whole, shorter sequences.
    """
    job = on_devices(job, accelerator, devices)
    evaluate = partial(estimate, accelerator=accelerator, catalog=catalog)
    if evaluate(job).fits:
        return None
    so_far: Change = {}
    for options in _ladder(job.spec):
        for change in options:
            found = _fit(job, so_far | change, evaluate)
            if found is not None:
                return _without_needless(job, found, evaluate)
        # A rung that is no way out alone may still be one together with the next.
        if options and "resources.accelerators.perNode" not in options[-1]:
            so_far |= options[-1]
    return None


def _without_needless(job: FineTuneJob, fit: Fit, evaluate: Evaluate) -> Fit:
    """The fit without the changes that it can do without, the gravest ones tried last."""
    for group in COUPLED:
        fewer = {path: value for path, value in fit.changes.items() if path not in group}
        if fewer != fit.changes and (smaller := _fit(job, fewer, evaluate)) is not None:
            fit = smaller
    return fit


def propose_fit(
    job: FineTuneJob,
    accelerator: Accelerator,
    *,
    devices: int | None = None,
    records: int | None = None,
    tokens: int | None = None,
    fewer: bool = True,
    catalog: HardwareCatalog | None = None,
) -> tuple[Fit, Fit] | None:
    """The cheapest and the fastest setting that are expected to fit, with the same effective batch; None
    where none fits. The cheapest is the one with the least device time, on fewer of the devices where those
    spend less time on each other.

    Tried: every micro-batch that divides the batch per rank, checkpointing on and off, ZeRO stages, and a
    4-bit base for adapters where nothing else fits; all that on the devices and, with `fewer`, on halves of
    them. `records` and `tokens` count the training data, as for `estimate`.
    """
    job = on_devices(job, accelerator, devices)
    evaluate = partial(estimate, accelerator=accelerator, records=records, tokens=tokens, catalog=catalog)
    sizes = _fewer(job.spec) if fewer else [{}]
    found = [fit for size in sizes for fit in _settings(job, size, evaluate, quantized=False)]
    if not found and job.spec.method.uses_adapters and job.spec.quantization.type == "none":
        found = [fit for size in sizes for fit in _settings(job, size, evaluate, quantized=True)]
    if not found:
        return None
    fastest = min(found, key=lambda fit: (fit.estimate.duration_seconds.expected, len(fit.changes)))
    cheapest = min(
        found,
        key=lambda fit: (
            fit.estimate.duration_seconds.expected * fit.estimate.setup.ranks, fit.estimate.memory.expected
        ),
    )  # fmt: skip
    return cheapest, fastest


def _fewer(spec: FineTuneJobSpec) -> list[Change]:
    """No change, and half of the devices of the one node, a quarter and so on, with as many sequences per
    step. Several nodes stay as they are: what they are wanted for is not for us to say."""
    ranks, accumulation = _ranks(spec), spec.training.gradient_accumulation_steps
    changes: list[Change] = [{}]
    fewer = ranks
    while spec.distributed.nodes == 1 and fewer % 2 == 0:
        fewer //= 2
        more = accumulation * ranks // fewer
        if more <= MOST_ACCUMULATION:
            changes.append(
                {"resources.accelerators.perNode": fewer, "training.gradientAccumulationSteps": more}
            )
    return changes


def _settings(job: FineTuneJob, size: Change, evaluate: Evaluate, *, quantized: bool) -> list[Fit]:
    """What fits on so many devices, as changes to the job."""
    candidates = _candidates(apply(job, size), evaluate, quantized=quantized)
    # an accumulation that came back to the job's own is no change
    return [Fit(_differing(job.spec, size | fit.changes), fit.estimate) for fit in candidates]


def _candidates(job: FineTuneJob, evaluate: Evaluate, *, quantized: bool) -> Iterator[Fit]:
    for wanted in settings(job.spec, quantized=quantized):
        fit = _fit(job, _differing(job.spec, wanted), evaluate)
        if fit is not None:
            yield fit


def settings(spec: FineTuneJobSpec, *, quantized: bool) -> list[Change]:
    """Every micro-batch that divides the batch per rank, with checkpointing and without, at each ZeRO stage:
    what memory depends on, and what is learned does not. `quantized`: on a 4-bit base, of adapters."""
    per_rank = spec.training.sequences_per_rank
    shares = _ranks(spec) > 1 or any(offloads(spec.distributed, part) for part in OFFLOADED)
    stages = [stage for stage in ((0, 2, 3) if shares else (0,)) if not (quantized and stage == 3)]
    base: Change = _quantized(spec) if quantized else {}
    return [
        base
        | {
            "training.microBatchSize": micro,
            "training.gradientAccumulationSteps": per_rank // micro,
            "training.gradientCheckpointing": checkpointing,
            "distributed.zeroStage": stage,
        }
        for micro in _micro_batches(per_rank)
        for checkpointing in ("none", "full")
        for stage in stages
    ]


def mistakes(job: FineTuneJob) -> int:
    """How many errors validation finds, memory aside."""
    return len(errors_in(validate_job(job, memory_rule=_no_rule)))


def _no_rule(_job: FineTuneJob, _target: str) -> Iterator[Finding]:
    return iter(())


def _micro_batches(per_rank: int) -> list[int]:
    """Micro-batches up to 64 that divide the batch of one rank, with as much accumulation as the API
    allows."""
    sizes = range(1, min(per_rank, 64) + 1)
    return [size for size in sizes if per_rank % size == 0 and per_rank // size <= MOST_ACCUMULATION]


def _ladder(spec: FineTuneJobSpec) -> list[list[Change]]:
    """Changes by how much they change the run; within a rung, the mildest first."""
    training = spec.training
    per_rank = training.sequences_per_rank
    smaller: list[Change] = [
        {"training.microBatchSize": micro, "training.gradientAccumulationSteps": per_rank // micro}
        for micro in range(training.sequences_per_pass - 1, 0, -1)
        if per_rank % micro == 0 and per_rank // micro <= MOST_ACCUMULATION
    ]
    checkpointing: list[Change] = [{"training.gradientCheckpointing": "full"}]
    if training.gradient_checkpointing == "full":
        checkpointing = []
    known = architecture_of(spec.model)
    fused: list[Change] = []
    if spec.model.kernels == "none" and known is not None and known.structure.fused_kernels:
        fused = [{"model.kernels": "auto"}]
    ranks = _ranks(spec)
    alone = training.optimizer in ALONE
    quantized = spec.quantization.type != "none"
    stages = [stage for stage in (2, 3) if stage > spec.distributed.stage_of_zero and ranks > 1 and not alone]
    if quantized:
        stages = [stage for stage in stages if stage < 3]
    zero: list[Change] = [{"distributed.zeroStage": stage} for stage in stages]
    four_bit = [] if quantized or not spec.method.uses_adapters else [_quantized(spec)]
    shorter: list[Change] = []
    length = training.max_sequence_length // 2
    while length >= 256:
        shorter.append({"training.maxSequenceLength": length})
        length //= 2
    counts = [devices for devices in MORE_DEVICES if devices > ranks and not alone]
    more = [_device_change(devices, quantized or bool(four_bit)) for devices in counts]
    wide: list[Change] = []
    if quantized and spec.method.uses_adapters:
        wide = [_wide(spec) | {"distributed.zeroStage": 3}] if ranks > 1 else []
        wide += [_wide(spec) | _device_change(devices, False) for devices in counts]
    return [smaller, checkpointing, fused, zero, four_bit, more, wide, shorter]


def _quantized(spec: FineTuneJobSpec) -> Change:
    change: Change = {"quantization.type": "nf4"}
    return change | ({"method.type": "qlora"} if spec.method.type in ("lora", "pissa", "dora") else {})


def _wide(spec: FineTuneJobSpec) -> Change:
    """A base in 16 bit instead of a quantized one."""
    return {"quantization.type": "none"} | ({"method.type": "lora"} if spec.method.type == "qlora" else {})


def _device_change(devices: int, quantized: bool) -> Change:
    nodes = max(1, devices // 8)
    change: Change = {"distributed.nodes": nodes, "resources.accelerators.perNode": devices // nodes}
    return change | ({} if quantized else {"distributed.zeroStage": 3})


def _ranks(spec: FineTuneJobSpec) -> int:
    return spec.distributed.nodes * processes_per_node(spec)


def _fit(job: FineTuneJob, changes: Change, evaluate: Evaluate) -> Fit | None:
    changed = apply(job, changes)
    made = evaluate(changed)
    return Fit(changes, made) if made.fits and mistakes(changed) <= mistakes(job) else None


def apply(job: FineTuneJob, changes: Change) -> FineTuneJob:
    """The job with new values at field paths below `spec`."""
    body: dict[str, Any] = job.to_json_object()
    if "resources.accelerators.perNode" in changes:
        body["spec"]["distributed"].pop("processesPerNode", None)
    for path, value in changes.items():
        node: Any = body["spec"]
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return FineTuneJob.from_json_object(body)


def _differing(spec: FineTuneJobSpec, wanted: Change) -> Change:
    return {path: value for path, value in wanted.items() if value_at(spec, path) != value}


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
