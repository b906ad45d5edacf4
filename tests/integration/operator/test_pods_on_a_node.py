"""Pods that have a node whose kubelet says strange things: of an image, and of the time."""

import json
from datetime import UTC, datetime, timedelta

from operator_rig import Namespace, OperatorProcess, wait_until


def placed(namespace: Namespace, job: str) -> str:
    """The name of the job's pod, which gets a node as the scheduler would give it one."""
    pod: str = namespace.await_pod(job)["metadata"]["name"]
    target = {"apiVersion": "v1", "kind": "Node", "name": "strange"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}/binding"
    namespace.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    return pod


def told_to_go(namespace: Namespace, pod: str) -> bool:
    return "deletionTimestamp" in namespace.get("pod", pod)["metadata"]


def test_an_image_that_does_not_exist_is_given_up_and_tried_again(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.submit("tune", failurePolicy={"startTimeoutSeconds": 1, "backoffSeconds": 0})
    pod = placed(namespace, "tune")
    waiting = {"reason": "ImagePullBackOff", "message": "finetune-trainer:test: not found"}
    namespace.patch_trainer(pod, "Pending", {"waiting": waiting})
    wait_until(
        "the pod is told to go", lambda: namespace.get("pod", pod)["metadata"].get("deletionTimestamp")
    )
    namespace.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    namespace.await_child("tune-2")
    first = namespace.status("tune")["attempts"][0]
    assert (first["outcome"], first["reason"]) == ("Failed", "ImagePullFailed")
    assert "not found" in first["message"]
    told = [event["reason"] for event in namespace.items("events.events.k8s.io")]
    assert "ImagePullFailed" in told


def test_a_node_whose_clock_is_behind_uses_up_no_deadline(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.submit("tune", failurePolicy={"activeDeadlineSeconds": 3600})
    pod = placed(namespace, "tune")
    started = (datetime.now(UTC) - timedelta(hours=3)).isoformat(timespec="seconds").replace("+00:00", "Z")
    namespace.patch_trainer(pod, "Running", {"running": {"startedAt": started}})
    wait_until(
        "the attempt has started",
        lambda: namespace.condition("tune", "Reconciling").get("reason") == "Starting",
    )
    assert namespace.status("tune").get("usage", {}).get("rankSeconds", 0) < 3600
    assert "deletionTimestamp" not in namespace.get("job", "tune-1")["metadata"]
