"""Whole runs of a stage in this process, and what they leave behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from finetune_api import ResolvedJob, TrainingResult
from finetune_trainer import rank
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

PAIRS = [
    {"prompt": f"add {a} and {b}", "chosen": str(a + b), "rejected": f"user {a} and {b}"}
    for a in range(5)
    for b in range(4)
]
"""Preferences between answers of different length, so that padding matters."""


def train(job: ResolvedJob, reporter: Reporter | None = None) -> TrainingResult:
    """A run of one rank."""
    try:
        return rank.train(job, reporter or Reporter([]), StopRequest())
    finally:
        rank.end_process_group()


def curve(job: ResolvedJob, name: str = "loss") -> dict[int, float]:
    """A figure of the metrics file by step."""
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line[name] for line in map(json.loads, lines) if name in line}


def weights(job: ResolvedJob) -> dict[str, torch.Tensor]:
    """The output's tensors."""
    (file,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    return load_file(file)


class Killed(BaseException):
    """The process ends in the middle of things."""


class DiesAt(Reporter):
    """Kills the run when it reports the given step, before anything of that step is saved."""

    def __init__(self, step: int) -> None:
        super().__init__([])
        self.last = step

    def update(self, **fields: Any) -> None:
        super().update(**fields)
        if fields.get("epoch") is not None and fields["step"] == self.last:
            raise Killed
