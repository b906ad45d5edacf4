"""What an attempt waits for."""

from __future__ import annotations

import pytest

from finetune_api import Phase, Reason
from finetune_operator.deciding.scheduling import Wait, waiting
from finetune_operator.observation import ObservedPod
from finetune_operator.obstacles import Complaint
from operator_scenes import child, ended_pod, make_job, pod

GPU = make_job({"resources": {"accelerators": {"perNode": 1}}})
PENDING = {"phase": "Pending", "node": None, "started_at": None}
SCHEDULER = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


def wait(*pods: ObservedPod, job: object = None, suspended: bool = False) -> Wait:
    found = waiting(job or make_job(), child(suspended=suspended), pods)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_an_attempt_whose_pods_all_run_waits_for_nothing() -> None:
    assert waiting(make_job(), child(), [pod()]) is None


def test_a_job_that_the_queue_holds_back_is_queued() -> None:
    queued = make_job({"resources": {"queueName": "gold"}})
    found = wait(job=queued, suspended=True)
    assert (found.phase, found.reason) == ("Queued", "Queued")
    assert "queue gold" in found.message


def test_a_pod_behind_a_scheduling_gate_is_queued() -> None:
    assert wait(pod(**PENDING, scheduling_gated=True)).reason == "Queued"


def test_an_unschedulable_pod_shows_the_schedulers_words_and_a_way_out() -> None:
    found = wait(pod(**PENDING, unschedulable_message=SCHEDULER), job=GPU)
    assert (found.phase, found.reason) == ("Pending", "Unschedulable")
    assert "1 Insufficient nvidia.com/gpu." in found.message
    assert "1 nvidia.com/gpu (resources.accelerators)" in found.message
    assert "device plugin" in found.message


def test_without_accelerators_the_way_out_is_another() -> None:
    found = wait(pod(**PENDING, unschedulable_message="0/1 nodes are available: 1 Insufficient memory."))
    assert "memory 8Gi" in found.message
    assert "nvidia" not in found.message


@pytest.mark.parametrize(
    "says",
    [
        '0/1 nodes are available: persistentvolumeclaim "models" not found.',
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    ],
)
def test_a_claim_that_is_not_there_is_not_mended_by_asking_for_less(says: str) -> None:
    message = wait(pod(**PENDING, unschedulable_message=says)).message
    assert "checkpoints.storage" in message
    assert "resources.memory" not in message


def test_a_job_whose_pods_are_refused_says_by_whom() -> None:
    quota = Complaint("Job", "tune-1", "FailedCreate", "Error creating: exceeded quota: team, used: pods=3")
    found = waiting(make_job(), child(), [], [quota])
    assert found == Wait(
        Phase.PENDING,
        Reason.PODS_REFUSED,
        "Job tune-1 does not get all of its pods: Error creating: exceeded quota: team, used: pods=3. "
        "Kubernetes tries again by itself.",
    )


def test_a_quota_of_cpu_limits_is_met_by_a_limit_range() -> None:
    says = 'pods "tune-1-0-x" is forbidden: failed quota: team: must specify limits.cpu for: trainer'
    found = waiting(make_job(), child(), [], [Complaint("Job", "tune-1", "FailedCreate", says)])
    assert found is not None
    assert "LimitRange" in found.message


def test_a_volume_that_cannot_be_mounted_is_named() -> None:
    message = 'MountVolume.SetUp failed for volume "data-train" : configmap "rows" not found'
    stuck = pod(phase="Pending", started_at=None, waiting_reason="ContainerCreating")
    found = waiting(make_job(), child(), [stuck], [Complaint("Pod", stuck.name, "FailedMount", message)])
    assert found is not None
    assert (found.phase, found.reason) == ("Pending", "PodConfigError")
    assert f"FailedMount: {message}" in found.message


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"]
)
def test_an_image_that_cannot_be_pulled_is_named(reason: str) -> None:
    found = wait(pod(phase="Pending", started_at=None, waiting_reason=reason, waiting_message="not found"))
    assert (found.phase, found.reason) == ("Pending", "ImagePullFailed")
    assert f"{reason}: not found. Check resources.image" in found.message


def test_a_missing_secret_is_named() -> None:
    broken = pod(
        phase="Pending",
        started_at=None,
        waiting_reason="CreateContainerConfigError",
        waiting_message='secret "hub" not found',
    )
    found = wait(broken)
    assert found.reason == "PodConfigError"
    assert 'secret "hub" not found' in found.message


def test_pods_on_their_way_are_counted() -> None:
    two = make_job({"distributed": {"nodes": 2}})
    assert wait(job=two).phase == "Pending"
    on_node = pod(index=1, phase="Pending", started_at=None)
    found = wait(pod(), on_node, job=two)
    assert (found.phase, found.message) == ("Starting", "1 of 2 pods started.")


def test_the_scheduler_is_named_before_the_image() -> None:
    image = pod(index=0, phase="Pending", started_at=None, waiting_reason="ErrImagePull")
    unscheduled = pod(index=1, **PENDING, unschedulable_message=SCHEDULER)
    assert wait(image, unscheduled).reason == "Unschedulable"


def test_a_pod_that_has_ended_holds_nobody_back() -> None:
    assert waiting(make_job(), child(), [ended_pod(0)]) is None
