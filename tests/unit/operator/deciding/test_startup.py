"""An attempt that has its nodes and can't start is given up after a while."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.observation import ObservedPod
from operator_scenes import Operator, at, child, created_jobs, deleted, make_job, pod

NOT_FOUND = "registry.example/trainer:typo: not found"


def stuck(attempt: int = 1, waiting_reason: str = "ImagePullBackOff", **facts: Any) -> ObservedPod:
    known = {"phase": "Pending", "started_at": None, "ready": False, "scheduled_at": at(5), **facts}
    return pod(attempt, waiting_reason=waiting_reason, waiting_message=NOT_FOUND, **known)


def started(**policy: Any) -> Operator:
    operator = Operator(make_job({"failurePolicy": {"startTimeoutSeconds": 60, **policy}}))
    operator.see(0)
    return operator


def test_until_then_it_waits_and_says_for_what() -> None:
    operator = started()
    plan = operator.see(64, [child()], [stuck()])
    assert operator.reason("Reconciling") == "ImagePullFailed"
    assert deleted(plan) == []
    assert plan.requeue_after == 1


@pytest.mark.parametrize("reason", ["ErrImagePull", "InvalidImageName", "CreateContainerConfigError"])
def test_then_its_job_is_deleted_once_the_status_says_why(reason: str) -> None:
    operator = started()
    assert deleted(operator.see(65, [child()], [stuck(waiting_reason=reason)])) == []
    assert deleted(operator.see(66, [child()], [stuck(waiting_reason=reason)])) == ["Job/tune-1"]
    assert "startTimeoutSeconds: not started within 60 s on its node" in operator.message("Reconciling")
    assert NOT_FOUND in operator.message("Reconciling")
    assert operator.status.phase == "Pending"
    assert "Training" not in operator.story


def test_it_has_failed_and_the_next_one_follows_after_the_back_off() -> None:
    operator = started(backoffSeconds=10)
    operator.see(65, [child()], [stuck()])
    operator.restart()
    operator.see(66, [child(deleting=True)], [stuck(deleting=True)])
    assert operator.see(70).requeue_after == 10
    [record] = operator.status.attempts
    assert (record.outcome, record.reason) == ("Failed", "ImagePullFailed")
    assert created_jobs(operator.see(80)) == ["tune-2"]
    assert operator.status.retries == 1


def test_the_job_fails_when_its_retries_are_used_up() -> None:
    operator = started(maxRetries=0)
    operator.see(65, [child()], [stuck()])
    operator.see(70)
    assert operator.reason("Failed") == "RetriesExhausted"
    assert NOT_FOUND in operator.message("Failed")


def test_a_pod_without_a_node_waits_for_ever() -> None:
    operator = started()
    nowhere = stuck(node=None, scheduled_at=None, waiting_reason=None, unschedulable_message="no GPU")
    operator.see(100_000, [child()], [nowhere])
    assert operator.status.attempts[0].reason is None


def test_a_slow_pull_is_not_given_up() -> None:
    operator = started()
    operator.see(100_000, [child()], [stuck(waiting_reason="ContainerCreating")])
    assert operator.status.attempts[0].reason is None


def test_a_longer_time_that_is_given_meanwhile_counts() -> None:
    operator = started()
    policy = operator.job.spec.failure_policy.model_copy(update={"start_timeout_seconds": 600})
    operator.edit(failure_policy=policy)
    operator.see(300, [child()], [stuck()])
    assert operator.status.attempts[0].reason is None
