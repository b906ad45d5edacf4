"""Jobs and devices to estimate."""

from collections.abc import Callable

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
