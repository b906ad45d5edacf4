"""What is compared: the same model, rows and order for both trainers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer_bench.workload import LENGTHS, SEED, Lengths


@dataclass(frozen=True)
class Scenario:
    """One comparison; `least` is the ratio of real tokens per second that ours must reach."""

    name: str
    lengths: Lengths
    micro_batch: int
    method: Literal["full", "lora"] = "full"
    packing: bool = False
    sampling: Literal["random", "groupByLength"] = "random"
    accumulation: int = 1
    least: float = 1.0

    @property
    def records(self) -> int:
        """Enough for all steps of a run."""
        return 400 if self.lengths == "long" else 4000

    def spec(self, model: Path, data: Path, steps: int) -> dict[str, Any]:
        """The job's spec: constant learning rate, no decay, no checkpoints on the way; no dropout,
        whose masks depend on the shape of a batch."""
        return {
            "model": {"path": str(model)},
            "method": {"type": self.method}
            | ({"lora": {"rank": 16, "dropout": 0.0}} if self.method == "lora" else {}),
            "dataset": {"format": "alpaca", "train": {"path": str(data)}, "packing": self.packing},
            "training": {
                "maxSteps": steps,
                "microBatchSize": self.micro_batch,
                "gradientAccumulationSteps": self.accumulation,
                "learningRate": 1e-3,
                "optimizer": "adamwFused",
                "weightDecay": 0.0,
                "maxSequenceLength": LENGTHS[self.lengths][2],
                "schedule": {"type": "constant", "warmupSteps": 0},
                "sampling": self.sampling,
                "gradientCheckpointing": "none",
                "seed": SEED,
                "loggingSteps": 1,
            },
            "checkpoints": {"everySteps": 0},
        }


SCENARIOS = (
    Scenario("log-normal, packed", "log-normal", 2, packing=True, least=1.1),
    Scenario("log-normal, packed, LoRA", "log-normal", 2, packing=True, method="lora", least=1.1),
    Scenario("log-normal, grouped", "log-normal", 8, sampling="groupByLength"),
    Scenario("log-normal, grouped, LoRA", "log-normal", 8, sampling="groupByLength", method="lora"),
    Scenario("log-normal, shuffled", "log-normal", 8),
    Scenario(
        "log-normal, grouped, accumulation 4", "log-normal", 2, sampling="groupByLength", accumulation=4
    ),
    Scenario("uniform 250", "uniform", 8),
    Scenario("uniform 250, LoRA", "uniform", 8, method="lora"),
    Scenario("long 2048", "long", 1),
)
