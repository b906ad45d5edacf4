"""Whole runs of a stage in this process, and what they leave behind."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from finetune_api import ResolvedJob

MakeJob = Callable[..., ResolvedJob]

PAIRS = [
    {"prompt": f"add {a} and {b}", "chosen": str(a + b), "rejected": f"user {a} and {b}"}
    for a in range(5)
    for b in range(4)
]
"""Preferences between answers of different length, so that padding matters."""


def curve(job: ResolvedJob, name: str = "loss") -> dict[int, float]:
    """A figure of the metrics file by step."""
    lines = (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line[name] for line in map(json.loads, lines) if name in line}


def weights(job: ResolvedJob) -> dict[str, torch.Tensor]:
    """The output's tensors."""
    (file,) = Path(job.paths.output_directory).glob("*/*model.safetensors")
    return load_file(file)
