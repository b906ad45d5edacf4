"""The events of a job, and whole plans, as golden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api.conditions import Reason
from golden import compare
from operator_scenes import (
    Operator,
    checkpoint,
    child,
    deleted,
    ended_pod,
    failed,
    make_job,
    pod,
    report,
    result,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "plans"
CRASH = result(
    "failed", Reason.TRAINER_CRASHED, 1, "RuntimeError: shape mismatch", step=120
).to_termination_message()


def starting(operator: Operator) -> None:
    operator.see(0)


def unschedulable(operator: Operator) -> None:
    operator.see(0)
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    operator.see(
        5, [child()], [pod(phase="Pending", node=None, started_at=None, unschedulable_message=message)]
    )


def training(operator: Operator) -> None:
    operator.see(0)
    metrics = {"loss": "1.25", "tokensPerSecond": "800"}
    operator.see(
        60, [child()], [pod()], {1: report(100, 59, metrics=metrics, checkpoints=checkpoint(100, 58))}
    )


def retrying(operator: Operator) -> None:
    training(operator)
    operator.see(111, [failed()], [ended_pod(1, termination_message=CRASH)])


def second_attempt(operator: Operator) -> None:
    retrying(operator)
    operator.see(125, [failed()])


def suspended(operator: Operator) -> None:
    training(operator)
    operator.edit(suspend=True)
    operator.see(70, [child()], [pod()])
    operator.see(80)


def gave_up(operator: Operator) -> None:
    operator.see(0)
    message = result("failed", Reason.DATA_ERROR, 11, "train.jsonl:7: key output is missing")
    operator.see(101, [failed()], [ended_pod(11, termination_message=message.to_termination_message())])


SCENES = [starting, unschedulable, training, retrying, second_attempt, suspended, gave_up]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_plan_is_the_one_in_the_golden_file(scene: object) -> None:
    operator = Operator(make_job({"resources": {"accelerators": {"perNode": 1}}}))
    scene(operator)  # type: ignore[operator]
    plan = operator.plans[-1]
    document = {
        "apply": [f"{manifest['kind']}/{manifest['metadata']['name']}" for manifest in plan.apply],
        "delete": deleted(plan),
        "requeueAfter": plan.requeue_after,
        "events": [f"{event.type} {event.reason}: {event.message}" for event in plan.events],
        "status": plan.status.to_json_object(),
    }
    compare([document], GOLDEN / f"{scene.__name__}.yaml")  # type: ignore[attr-defined]


def test_checkpoints_are_told_once_per_attempt() -> None:
    operator = Operator()
    operator.see(0)
    for step in range(1, 6):
        saved = checkpoint(step * 10, 50 + step)
        operator.see(60 + step, [child()], [pod()], {1: report(step * 10, 60 + step, checkpoints=saved)})
    assert operator.story.count("CheckpointSaved") == 1


def test_an_obstacle_is_told_once_however_its_message_changes() -> None:
    operator = Operator()
    operator.see(0)
    for second, message in enumerate(["0/1 nodes", "0/2 nodes", "0/3 nodes"]):
        waiting = pod(phase="Pending", node=None, started_at=None, unschedulable_message=message)
        operator.see(second, [child()], [waiting])
    assert operator.story.count("Unschedulable") == 1


def test_what_the_trainer_warns_of_is_told_once_per_attempt() -> None:
    operator = Operator()
    operator.see(0)
    down = ["wandb is in trouble, training goes on: ConnectionError"]
    for second in range(3):
        operator.see(60 + second, [child()], [pod()], {1: report(10, 60 + second, warnings=down)})
    assert operator.story.count("TrainerWarning") == 1
    [running] = operator.status.attempts
    assert running.warnings == down
    operator.see(111, [failed()], [ended_pod(1, termination_message=CRASH)])
    [ended] = operator.status.attempts
    assert ended.warnings == down
    operator.see(125, [failed()])
    assert operator.status.attempts[-1].warnings == []
