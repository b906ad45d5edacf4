"""`finetune logs` through a real API server. Only the kubelet, which has no node here, is played."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import kubelet
from kubelet import Kubelet, place_pod
from onenode import ControlPlane
from operator_rig import Namespace, wait_until


@pytest.fixture(scope="module")
def node(control_plane: ControlPlane) -> Iterator[Kubelet]:
    with kubelet.running(control_plane) as server:
        yield server


@pytest.fixture
def job(namespace: Namespace, request: pytest.FixtureRequest) -> str:
    """A job of the test's own, in its second attempt."""
    name = f"logged-{abs(hash(request.node.name)) % 10**6}"
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {"model": {"id": "a/b"}, "dataset": {"train": {"hub": {"id": "a/b"}}}},
    }
    namespace.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    namespace.patch_status("ftj", name, {"observedGeneration": 1, "phase": "Running", "attempt": 2})
    return name


def test_the_lines_of_the_newest_attempt_are_printed(
    namespace: Namespace,
    node: Kubelet,
    job: str,
    finetune: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for attempt in (1, 2):
        place_pod(namespace, f"{job}-{attempt}-0", job, attempt)
        node.write(f"{job}-{attempt}-0", f"attempt {attempt}", None)
    assert finetune("logs", job, "--tail", "5") == 0
    assert capsys.readouterr().out == "attempt 2\n"
    assert node.asked[-1]["tailLines"] == "5"
    assert finetune("logs", job, "--attempt", "1") == 0
    assert capsys.readouterr().out == "attempt 1\n"


def test_followed_lines_come_as_the_pods_write_them(
    namespace: Namespace,
    node: Kubelet,
    job: str,
    finetune: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pods = [f"{job}-2-{rank}" for rank in (0, 1)]
    for pod in pods:
        place_pod(namespace, pod, job, 2)
    printed: list[str] = []
    ended: list[int] = []

    def shown(line: str) -> bool:
        printed.extend(capsys.readouterr().out.splitlines())
        return line in printed

    follower = threading.Thread(target=lambda: ended.append(finetune("logs", job, "-f")))
    follower.start()
    for pod, line in ((pods[1], "step 1"), (pods[0], "step 1"), (pods[0], "step 2")):
        node.write(pod, line)
        wait_until(f"{pod} has shown {line}", partial(shown, f"{pod}: {line}"))
    assert ended == [], "it goes on as long as a pod does"
    for pod in pods:
        node.write(pod, None)
    follower.join(timeout=30)
    assert ended == [0]
    assert node.asked[-1]["follow"] == "true"


def test_a_pod_whose_node_does_not_answer_is_told_in_the_api_server_s_words(
    namespace: Namespace,
    node: Kubelet,
    job: str,
    finetune: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    place_pod(namespace, f"{job}-2-0", job, 2)
    place_pod(namespace, f"{job}-2-1", job, 2, node="nowhere")
    node.write(f"{job}-2-0", None)
    assert finetune("logs", job, "-f") == 1
    assert "nowhere" in capsys.readouterr().err
