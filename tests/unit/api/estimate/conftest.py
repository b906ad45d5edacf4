"""Jobs and devices to estimate, and how far estimates are off what others have measured."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import FineTuneJob, parse_job
from finetune_api.estimate.fit import apply
from finetune_api.hardware import Accelerator, find_accelerator

BASE = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "dates"},
    "spec": {
        "model": {"id": "meta-llama/Llama-3.1-8B"},
        "dataset": {"train": {"hub": {"id": "organisation/data"}}},
    },
}


@pytest.fixture(scope="session")
def job() -> Callable[..., FineTuneJob]:
    """A LoRA job on 8 billion parameters, with values set at paths below `spec`."""
    base = parse_job(BASE)
    return lambda changes=None: apply(base, changes or {})


@pytest.fixture(scope="session")
def a100() -> Accelerator:
    found = find_accelerator("a100-80gb")
    assert found is not None
    return found


sys.path.insert(0, str(Path(__file__).parent))
import published  # noqa: E402
import published_times  # noqa: E402
from comparison import predicted_gib, predicted_seconds  # noqa: E402


@pytest.fixture(scope="session")
def errors(job):
    """Predicted and measured memory in GiB, and the error in percent, by table and row."""
    rows = {}
    for row in published.MEASUREMENTS:
        predicted = predicted_gib(job, row)
        rows[row.group, row.name] = (predicted, row.gib, 100 * (predicted / row.gib - 1))
    return rows


@pytest.fixture(scope="session")
def time_errors(job):
    """Errors of the predicted time of a step, in percent, by table."""
    found = {}
    for row in published_times.TIMINGS:
        found.setdefault(row.group, []).append(100 * (predicted_seconds(job, row) / row.seconds - 1))
    return found
