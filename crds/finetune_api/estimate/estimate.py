"""`estimate`: a job and hardware in; memory, steps, time, cost and carbon out. Pure: no torch, no network."""

from dataclasses import dataclass
from typing import Any, Final

from finetune_api.estimate.cost import Cost, cost
from finetune_api.estimate.memory import GIB, Memory, memory
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup, setup_for
from finetune_api.estimate.steps import Steps, steps
from finetune_api.estimate.throughput import Throughput, throughput
from finetune_api.hardware import Accelerator, HardwareCatalog
from finetune_api.job import FineTuneJob

MOST_PER_NODE: Final = 64
"""Accelerators that a node may have (resources.accelerators.perNode)."""
MOST_NODES: Final = 1024
"""Nodes that a job may have (distributed.nodes)."""


@dataclass(frozen=True)
class Estimate:
    """What to expect of a job on certain devices."""

    setup: Setup
    accelerator: Accelerator
    memory: Memory
    steps: Steps
    throughput: Throughput
    duration_seconds: Range
    tokens_per_second: Range
    """On all devices, for records of the expected length."""
    cost: Cost

    @property
    def capacity(self) -> float:
        """Memory of one device, in bytes."""
        return self.accelerator.memory_gib * GIB

    @property
    def fits(self) -> bool:
        """Whether what is expected fits."""
        return self.memory.expected <= self.capacity

    @property
    def cannot_fit(self) -> bool:
        """Whether not even the low bound fits."""
        return self.memory.low > self.capacity

    @property
    def may_not_fit(self) -> bool:
        """Whether what is expected, or the high bound, does not fit, though the low bound does."""
        return not self.cannot_fit and self.memory.high > self.capacity

    def to_json_object(self) -> dict[str, Any]:
        """The figures of `finetune estimate -o json`, in their stable form."""
        return {
            "memoryPerDeviceGiB": _rounded(self.memory.range, GIB)
            | {"parts": {name: round(value, 3) for name, value in self.memory.parts.gib().items()}},
            "durationSeconds": _rounded(self.duration_seconds),
            "tokensPerSecond": round(self.tokens_per_second.expected, 1),
            "steps": round(self.steps.steps.expected),
            "costUSD": None if self.cost.usd is None else round(self.cost.usd.expected, 4),
            "energyKWh": round(self.cost.energy_kwh.expected, 4),
            "carbonGrams": round(self.cost.carbon_grams.expected, 1),
        }


def estimate(
    job: FineTuneJob,
    accelerator: Accelerator,
    *,
    devices: int | None = None,
    records: int | None = None,
    tokens: int | None = None,
    catalog: HardwareCatalog | None = None,
) -> Estimate:
    """What to expect when `job` runs on `devices` accelerators (None: on as many as the job asks for).

    `records` and `tokens` count the training data; without them the number of steps rests on an assumption
    that `steps.assumptions` states. Raises `UnknownArchitectureError` for a model that nobody knows the
    numbers of, and `ValueError` for devices that no nodes can hold, or tokens without as many records.
    """
    job = on_devices(job, accelerator, devices)
    setup = setup_for(job, accelerator)
    amount = steps(job, records, tokens)
    speed = throughput(setup, accelerator, amount.length.expected)
    shortest = throughput(setup, accelerator, amount.length.low).step_seconds
    longest = throughput(setup, accelerator, amount.length.high).step_seconds
    per_step = Range(shortest.low, speed.step_seconds.expected, longest.high)
    duration = amount.steps.times(per_step)
    return Estimate(
        setup=setup,
        accelerator=accelerator,
        memory=memory(setup),
        steps=amount,
        throughput=speed,
        duration_seconds=duration,
        tokens_per_second=speed.step_seconds.per(amount.tokens_per_step.expected),
        cost=cost(duration, setup.ranks, accelerator, catalog or HardwareCatalog()),
    )


def on_devices(job: FineTuneJob, accelerator: Accelerator, devices: int | None) -> FineTuneJob:
    """The job as it would be on that many of these accelerators: on as many nodes as it has now, or more, so
    that each node has equally many and none more than the API allows; on as many as there are devices where
    these are fewer. Raises `ValueError` where that can't be."""
    spec = job.spec
    if devices is None:
        return job
    fewest = spec.distributed.nodes
    possible = range(fewest, min(devices, MOST_NODES) + 1) if devices > fewest else (devices,)
    even = (count for count in possible if devices % count == 0 and devices // count <= MOST_PER_NODE)
    nodes = next(even, None)
    if nodes is None:
        raise ValueError(
            f"devices: {devices} can't be shared out evenly over {fewest} to {MOST_NODES} nodes of at most "
            f"{MOST_PER_NODE}. Use a number that can, such as {fewest * 8}."
        )
    accelerators = spec.resources.accelerators.model_copy(
        update={"per_node": devices // nodes, "type": accelerator.name}
    )
    changed = spec.model_copy(
        update={
            "distributed": spec.distributed.model_copy(
                update={"nodes": nodes, "processes_per_node": devices // nodes}
            ),
            "resources": spec.resources.model_copy(update={"accelerators": accelerators}),
        }
    )
    return job.model_copy(update={"spec": changed})


def _rounded(value: Range, unit: float = 1.0) -> dict[str, float]:
    return {
        "expected": round(value.expected / unit, 3),
        "low": round(value.low / unit, 3),
        "high": round(value.high / unit, 3),
    }
