"""The estimate in status: there from the start, compact, and silent about what nobody has counted."""

from __future__ import annotations

import json

import pytest

from finetune_api.hardware import HardwareCatalog
from finetune_operator.estimation import estimated
from operator_scenes import Operator, make_job

LLAMA = {
    "model": {"id": "meta-llama/Llama-3.1-8B"},
    "training": {"gradientCheckpointing": "full", "maxSteps": 100},
    "resources": {"accelerators": {"type": "a100-80gb", "perNode": 1}},
}


def test_a_job_with_a_number_of_steps_is_estimated_in_full() -> None:
    found = estimated(make_job(LLAMA), HardwareCatalog())
    assert found is not None
    body = found.to_json_object()
    assert list(body) == [
        "memoryPerDeviceGiB", "steps", "durationSeconds", "costUSD", "energyKWh", "carbonGrams", "measured",
    ]  # fmt: skip
    assert (body["steps"], body["measured"]) == (100, False)
    assert len(json.dumps(body)) < 200


def test_where_the_data_is_not_counted_only_memory_is_said() -> None:
    job = make_job(LLAMA | {"training": {"gradientCheckpointing": "full"}})
    found = estimated(job, HardwareCatalog())
    assert found is not None
    assert list(found.to_json_object()) == ["memoryPerDeviceGiB", "measured"]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"path": "/models/base"}},
        {"resources": {"accelerators": {"perNode": 1}}},
        {"resources": {"accelerators": {"type": "nobody-knows", "perNode": 1}}},
        {"resources": {"accelerators": {"type": "a100-80gb"}}},
    ],
)
def test_nothing_is_said_where_nothing_is_known(changes: dict[str, object]) -> None:
    assert estimated(make_job({**LLAMA, **changes}), HardwareCatalog()) is None


def test_status_has_the_estimate_from_the_first_plan_on() -> None:
    operator = Operator(make_job(LLAMA))
    operator.see(0)
    assert operator.status.estimate is not None
    assert operator.status.estimate.steps == 100
    assert operator.holds("Accepted")
