"""Estimates in a real control plane: for the accelerators that nodes say they have, then for the run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_api.protocol import status_path
from onenode import ControlPlane
from operator_rig import Manifest, Namespace, OperatorProcess, report, running, wait_until

NODE = "gpu-node-of-estimates"
HARDWARE = {"region": "sweden", "accelerators": [{"name": "a100-80gb", "usdPerHour": 36.0}]}


@pytest.fixture
def gpu_node(control_plane: ControlPlane) -> Iterator[str]:
    """A node as GPU feature discovery and the device plugin would have it; nothing runs on it."""
    labels = {
        "estimates": "test",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "nvidia.com/gpu.memory": "81920",
        "nvidia.com/gpu.count": "8",
    }
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}
    control_plane.kubectl("apply", "-f", "-", input=json.dumps(node))
    there = {"status": {"allocatable": {"nvidia.com/gpu": "8"}, "capacity": {"nvidia.com/gpu": "8"}}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(there))
    control_plane.kubectl("patch", "node", NODE, *patch)
    yield NODE
    control_plane.kubectl("delete", "node", NODE)


@pytest.fixture
def estimating(gpu_node: str, installation: Path, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that has seen the node, with an administrator's prices."""
    with running(tmp_path, installation, hardware=HARDWARE) as process:
        yield process


SPEC: Manifest = {
    "model": {"id": "meta-llama/Llama-3.1-8B"},
    "training": {"maxSteps": 100, "gradientCheckpointing": "full"},
    "resources": {
        "cpu": "100m",
        "memory": "2Gi",
        "accelerators": {"perNode": 1},
        "nodeSelector": {"estimates": "test"},
    },
}


@pytest.mark.usefixtures("estimating")
def test_a_job_that_names_no_accelerator_is_estimated_for_the_node_that_it_selects(
    namespace: Namespace,
) -> None:
    namespace.submit("tune", **SPEC)
    estimate = wait_until("an estimate", lambda: namespace.status("tune").get("estimate"))
    assert (estimate["accelerator"], estimate["steps"], estimate["measured"]) == ("a100-80gb", 100, False)
    assert float(estimate["costUSD"]) == pytest.approx(estimate["durationSeconds"] * 36 / 3600, rel=0.02)


def test_after_20_steps_status_keeps_what_was_predicted_and_what_was_measured(
    namespace: Namespace, estimating: OperatorProcess
) -> None:
    namespace.submit("tune", **SPEC)
    pod = namespace.await_pod("tune")["metadata"]["name"]
    predicted = namespace.status("tune")["estimate"]
    authority = namespace.get("configmap", "tune-1")["data"]["ca.crt"]
    token = namespace.token(pod, f"finetune.dev/{namespace.name}/tune")
    metrics = {"tokensPerSecond": "1000", "peakMemoryBytes": str(30 * 2**30)}
    body = {
        "trainerStatus": {"metrics": [{"name": name, "value": value} for name, value in metrics.items()]},
        "finetune": {"step": 20, "totalSteps": 100, "tokens": 40_000, "activity": "training"},
    }
    assert report(estimating, status_path(namespace.name, "tune", 1), token, body, authority)[0] == 200
    estimate = wait_until(
        "a measured estimate", lambda: (found := namespace.status("tune")["estimate"])["measured"] and found
    )
    corrected = estimate.pop("corrected")
    assert estimate | {"measured": False} == predicted
    # 100 steps of 2,000 tokens at 1,000 tokens a second, at 36 $ an hour
    assert (corrected["durationSeconds"], corrected["costUSD"]) == (200, "2.00")
    assert float(corrected["memoryPerDeviceGiB"]) > 30
