"""From the API server's objects to what is decided upon."""

from __future__ import annotations

from typing import Any

from finetune_operator.observation import Observed, ObservedJob, ObservedPod
from operator_scenes import at, stamp

LABELS = {"finetune.dev/attempt": "2", "finetune.dev/job": "tune", "finetune.dev/job-uid": "3f0c"}


def pod(status: dict[str, Any], **metadata: Any) -> ObservedPod:
    base = {
        "name": "tune-2-1-abcde",
        "labels": {**LABELS, "batch.kubernetes.io/job-completion-index": "1"},
        "ownerReferences": [{"uid": "job-2", "controller": True}],
        **metadata,
    }
    found = ObservedPod.from_kubernetes({"metadata": base, "spec": {"nodeName": "n"}, "status": status})
    assert found is not None
    return found


def container(state: dict[str, Any], name: str = "trainer") -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": name, "state": state}]}


def test_a_pod_says_whose_it_is() -> None:
    seen = pod({})
    assert (seen.attempt, seen.index, seen.job_uid, seen.owner_uid, seen.node) == (2, 1, "job-2", "3f0c", "n")


def test_a_running_trainer() -> None:
    seen = pod(container({"running": {"startedAt": stamp(5)}}))
    assert seen.running
    assert seen.started_at == at(5)


def test_a_trainer_that_has_ended() -> None:
    terminated = {
        "exitCode": 137,
        "reason": "OOMKilled",
        "message": "m",
        "startedAt": stamp(5),
        "finishedAt": stamp(9),
    }
    seen = pod({**container({"terminated": terminated}), "phase": "Failed"})
    assert seen.ended
    assert seen.oom_killed
    assert (seen.exit_code, seen.termination_message) == (137, "m")
    assert (seen.started_at, seen.finished_at) == (at(5), at(9))


def test_other_containers_say_nothing_about_training() -> None:
    seen = pod(container({"terminated": {"exitCode": 1}}, name="istio-proxy"))
    assert seen.exit_code is None


def test_an_unschedulable_pod() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert pod({"conditions": [condition]}).unschedulable_message == "0/1 nodes"
    gated = {**condition, "reason": "SchedulingGated"}
    assert pod({"conditions": [gated]}).scheduling_gated
    assert pod({"conditions": [gated]}).unschedulable_message is None


def test_a_disrupted_pod() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    seen = pod(
        {"phase": "Failed", "reason": "Evicted", "conditions": [condition]}, deletionTimestamp=stamp(1)
    )
    assert (seen.disruption, seen.reason) == ("EvictionByEvictionAPI", "Evicted")
    assert (seen.deleting, seen.gone_by) == (True, at(1))
    assert pod({"conditions": [{**condition, "status": "False"}]}).disruption is None


def test_a_job_and_its_conditions() -> None:
    seen = ObservedJob.from_kubernetes(
        {
            "metadata": {
                "name": "tune-2",
                "uid": "job-2",
                "labels": LABELS,
                "creationTimestamp": stamp(0),
                "ownerReferences": [{"uid": "x"}, {"uid": "3f0c", "controller": True}],
            },
            "spec": {"suspend": True},
            "status": {
                "failed": 1,
                "conditions": [
                    {"type": "Complete", "status": "False"},
                    {"type": "Failed", "status": "True", "reason": "R", "lastTransitionTime": stamp(3)},
                ],
            },
        }
    )
    assert seen is not None
    assert (seen.owner_uid, seen.suspended, seen.created_at) == ("3f0c", True, at(0))
    assert seen.finished
    assert not seen.complete
    assert seen.failure is not None
    assert seen.failure.changed_at == at(3)


def test_what_bears_no_attempt_is_none_of_ours() -> None:
    assert ObservedJob.from_kubernetes({"metadata": {"name": "other"}}) is None
    assert (
        ObservedPod.from_kubernetes({"metadata": {"name": "o", "labels": {"finetune.dev/attempt": "x"}}})
        is None
    )


def test_the_order_of_objects_does_not_matter() -> None:
    bodies = [
        {"metadata": {"name": f"tune-{n}", "labels": {"finetune.dev/attempt": str(n)}}} for n in (2, 1, 10)
    ]
    assert Observed.from_kubernetes(bodies) == Observed.from_kubernetes(reversed(bodies))
