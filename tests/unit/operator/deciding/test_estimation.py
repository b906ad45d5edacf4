"""The estimate in status: there from the start, compact, and silent about what nobody has counted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from finetune_api import FineTuneJobStatus
from finetune_api.hardware import NodeAccelerators
from finetune_operator.deciding.decide import decide
from finetune_operator.deciding.estimation import estimated
from finetune_operator.hardware import Hardware
from finetune_operator.observation import Observed
from finetune_operator.rendering.config import RenderConfig
from operator_scenes import CONFIG, Operator, at, child, make_job, pod, report

LLAMA = {
    "model": {"id": "meta-llama/Llama-3.1-8B"},
    "training": {"gradientCheckpointing": "full", "maxSteps": 100},
    "resources": {"accelerators": {"type": "a100-80gb", "perNode": 1}},
}


def test_a_job_with_a_number_of_steps_is_estimated_in_full() -> None:
    found = estimated(make_job(LLAMA), Hardware())
    assert found is not None
    body = found.to_json_object()
    assert list(body) == [
        "accelerator", "memoryPerDeviceGiB",
        "steps", "durationSeconds", "costUSD", "energyKWh", "carbonGrams", "measured",
    ]  # fmt: skip
    assert (body["steps"], body["measured"]) == (100, False)
    assert len(json.dumps(body)) < 250


def test_where_the_data_is_not_counted_only_memory_is_said() -> None:
    job = make_job(LLAMA | {"training": {"gradientCheckpointing": "full"}})
    found = estimated(job, Hardware())
    assert found is not None
    assert list(found.to_json_object()) == ["accelerator", "memoryPerDeviceGiB", "measured"]


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
    assert estimated(make_job({**LLAMA, **changes}), Hardware()) is None


def test_status_has_the_estimate_from_the_first_plan_on() -> None:
    operator = Operator(make_job(LLAMA))
    operator.see(0)
    assert operator.status.estimate is not None
    assert operator.status.estimate.steps == 100
    assert operator.holds("Accepted")


SPEED = {"tokensPerSecond": "4096", "peakMemoryBytes": str(20 * 2**30)}


def running(step: int, metrics: dict[str, str] = SPEED, **facts: object) -> Operator:
    """The operator after a report of so many steps, of 4,096 tokens each."""
    operator = Operator(make_job(LLAMA))
    operator.see(0)
    told = report(step, 60, metrics=metrics, tokens=step * 4096, **facts)
    operator.see(60, [child()], [pod()], {1: told})
    return operator


def test_after_20_steps_the_estimate_is_what_was_measured_and_what_was_predicted_stays() -> None:
    predicted = running(0).status.estimate
    after = running(20).status.estimate
    assert predicted is not None
    assert after is not None
    assert after.measured
    assert after.model_copy(update={"measured": False, "corrected": None}) == predicted
    found = after.corrected
    assert found is not None
    # 200 steps of 4,096 tokens at 4,096 tokens a second
    assert (found.after_steps, found.seconds_per_step, found.duration_seconds) == (20, "1", 200)
    # 1.79 $ an hour
    assert found.cost_usd == "0.10"
    # what torch allocated, a context, and freed blocks
    assert 20.3 < float(found.memory_per_device_gib or 0) < 26
    assert len(json.dumps(after.to_json_object())) < 500


@pytest.mark.parametrize(
    ("step", "metrics", "facts"),
    [
        (19, SPEED, {}),
        (30, SPEED, {"resumedStep": 15}),
        (20, {"peakMemoryBytes": "1"}, {}),
        (20, SPEED | {"tokensPerSecond": "nan"}, {}),
        (20, SPEED | {"tokensPerSecond": "0"}, {}),
    ],
)
def test_too_few_steps_and_unknown_speeds_say_nothing(
    step: int, metrics: dict[str, str], facts: dict[str, object]
) -> None:
    estimate = running(step, metrics, **facts).status.estimate
    assert estimate is not None
    assert (estimate.measured, estimate.corrected) == (False, None)


def test_it_is_corrected_again_only_when_the_steps_have_doubled() -> None:
    operator = running(20)
    seen = []
    for step in range(21, 101):
        told = report(step, 60 + step, metrics=SPEED, tokens=step * 4096)
        operator.see(60 + step, [child()], [pod()], {1: told})
        estimate = operator.status.estimate
        assert estimate is not None
        assert estimate.corrected is not None
        seen.append(estimate.corrected.after_steps)
    assert sorted(set(seen)) == [20, 40, 80]


def test_a_model_that_nobody_knows_is_measured_too() -> None:
    operator = Operator(make_job({"training": {"maxSteps": 100}}))
    operator.see(0)
    told = report(20, 60, metrics=SPEED, tokens=20 * 4096)
    operator.see(60, [child()], [pod()], {1: told})
    estimate = operator.status.estimate
    assert estimate is not None
    assert estimate.corrected is not None
    assert estimate.corrected.to_json_object() == {
        "afterSteps": 20,
        "tokensPerSecond": "4096.0",
        "secondsPerStep": "1",
        "memoryPerDeviceGiB": "20.0",
        "durationSeconds": 200,
    }


def test_a_job_that_names_no_accelerator_is_estimated_for_those_of_the_nodes() -> None:
    spec = LLAMA | {"resources": {"accelerators": {"perNode": 1}}}
    nodes = (NodeAccelerators("node-1", "nvidia.com/gpu", 8, "NVIDIA-A100-SXM4-80GB", 79.3, {}),)
    assert estimated(make_job(spec), Hardware(nodes=nodes)) == estimated(make_job(LLAMA), Hardware())


def test_a_job_that_fits_on_none_of_the_nodes_is_refused() -> None:
    spec = LLAMA | {"resources": {"accelerators": {"perNode": 1}}, "method": {"type": "full"}}
    nodes = (NodeAccelerators("node-1", "nvidia.com/gpu", 8, "Tesla-T4", 14.7, {}),)
    config = replace(CONFIG, hardware=Hardware(nodes=nodes))
    plan = decide(make_job(spec), FineTuneJobStatus(), Observed(), at(0), config)
    assert not plan.apply
    message = next(c.message for c in plan.status.conditions if c.type == "Stalled" and c.status == "True")
    assert "14.7 GiB of t4 are there" in message
    assert decide(make_job(spec), FineTuneJobStatus(), Observed(), at(0), CONFIG).apply


def on_nodes(*products: str) -> RenderConfig:
    nodes = [NodeAccelerators(product, "nvidia.com/gpu", 8, product, None, {}) for product in products]
    return replace(CONFIG, hardware=Hardware(nodes=tuple(nodes)))


@pytest.mark.parametrize("larger", ["NVIDIA-H200", "NVIDIA-H20"])
def test_a_job_that_no_node_holds_starts_once_a_larger_node_is_there(larger: str) -> None:
    changes = {"resources": {"accelerators": {"perNode": 1}}, "method": {"type": "freeze"}}
    operator = Operator(make_job(LLAMA | changes))
    operator.config = on_nodes("Tesla-T4")
    assert operator.see(0).apply == []
    assert operator.reason("Stalled") == operator.reason("Accepted") == "NoNodeFits"
    unchanged = operator.see(300)
    assert (unchanged.apply, unchanged.events) == ([], [])
    operator.config = on_nodes("Tesla-T4", larger)
    assert operator.see(600).apply
    assert not operator.holds("Stalled")
    assert operator.holds("Accepted")
