"""What can't work is said before it costs anything, or at once, and is not tried again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from live import (
    FROM_SCRATCH,
    NAMESPACE,
    Cluster,
    Job,
    as_jsonl,
    config_map,
    instructions,
    job_manifest,
    merged,
    wait_until,
)

SubmitJob = Callable[..., Job]


def test_a_broken_record_fails_the_job_by_file_and_line_and_is_not_retried(
    cluster: Cluster, submit: SubmitJob
) -> None:
    good = as_jsonl(instructions(4))
    cluster.apply(config_map("broken", train__jsonl=good + '{"instruction": "no answer"}\n' + good))
    job = submit("broken", {"dataset": {"train": {"configMap": {"name": "broken", "key": "train.jsonl"}}}})

    cluster.kubectl("wait", "-n", NAMESPACE, "finetunejob/broken", "--for=condition=Failed", "--timeout=120s")

    failed = job.condition("Failed")
    assert failed["reason"] == "DataError"
    assert "train.jsonl" in failed["message"]
    assert "line 5" in failed["message"] or ":5" in failed["message"]
    assert "output" in failed["message"]
    assert len(job.status["attempts"]) == 1
    assert job.status.get("retries", 0) == 0
    assert job.condition("Ready")["status"] == "False"
    assert job.condition("Stalled")["status"] == "True"


def test_the_api_server_refuses_an_invalid_spec_with_the_way_out(cluster: Cluster, namespace: str) -> None:
    two_sources = job_manifest("invalid", {"model": {"id": "org/model"}}, FROM_SCRATCH)

    refused = cluster.run("kubectl", "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(two_sources))

    assert refused.returncode != 0
    assert "exactly one" in refused.stderr.lower()


def test_apply_tells_what_only_the_validator_knows(cluster: Cluster, namespace: str) -> None:
    """The API server asks the operator's webhook through its Service, with the chart's defaults."""
    no_room = merged(FROM_SCRATCH, {"resources": {"memory": "1Gi", "sharedMemory": "1Gi"}})
    manifest = yaml.safe_dump(job_manifest("no-room", no_room))

    refused = cluster.run("kubectl", "apply", "--server-side", "-f", "-", stdin=manifest)

    assert refused.returncode != 0
    assert "resources.sharedMemory: 1Gi counts as the pod's memory" in refused.stderr
    assert "Raise resources.memory or lower resources.sharedMemory" in refused.stderr


def test_apply_warns_of_what_may_go_wrong(cluster: Cluster, namespace: str) -> None:
    risky = yaml.safe_dump(job_manifest("risky", merged(FROM_SCRATCH, {"training": {"learningRate": 0.01}})))

    warned = cluster.run("kubectl", "apply", "--server-side", "--dry-run=server", "-f", "-", stdin=risky)

    assert warned.returncode == 0, warned.stderr
    assert "Warning: HighLearningRate: training.learningRate: 0.01" in warned.stderr


def test_a_started_job_is_immutable_but_for_what_may_change(cluster: Cluster, submit: SubmitJob) -> None:
    submit("immutable", {"suspend": True})
    change = json.dumps({"spec": {"training": {"learningRate": 0.1}}})
    job = Job(cluster, "immutable")
    wait_until("the job is seen", lambda: job.status.get("observedGeneration", -1) > 0, 30)
    cluster.kubectl(
        "patch", "-n", NAMESPACE, "ftj/immutable", "--type=merge", "-p", change
    )  # not started yet
    job.patch({"suspend": False})
    job.await_step(1)

    refused = cluster.run(
        "kubectl",
        "patch",
        "-n",
        NAMESPACE,
        "ftj/immutable",
        "--type=merge",
        "-p",
        change.replace("0.1", "0.2"),
    )

    assert refused.returncode != 0
    assert "new" in refused.stderr
    job.patch({"failurePolicy": {"maxRetries": 5}})


@pytest.fixture
def crd_without_cel(cluster: Cluster, release: list[str]) -> Iterator[None]:
    """The CRD as somebody might have edited it: nothing but the field types is checked."""
    crd = cluster.get("crd", "finetunejobs.finetune.dev")

    def strip(node: object) -> object:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key != "x-kubernetes-validations"}
        return [strip(each) for each in node] if isinstance(node, list) else node

    stripped = dict(crd, spec=strip(crd["spec"]))
    del stripped["metadata"]["resourceVersion"]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(stripped))
    yield
    original = dict(crd, metadata={k: v for k, v in crd["metadata"].items() if k != "resourceVersion"})
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(original))


@pytest.fixture
def no_webhook(cluster: Cluster, release: list[str]) -> Iterator[None]:
    """A cluster whose API server does not ask the operator before it stores a job."""
    reference = ("validatingwebhookconfiguration", "finetune-operator")
    found = cluster.get(*reference)
    cluster.kubectl("delete", *reference)
    yield
    kept = {key: found["metadata"][key] for key in ("name", "labels", "annotations")}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(dict(found, metadata=kept)))


@pytest.mark.usefixtures("no_webhook", "crd_without_cel")
def test_an_invalid_job_that_slipped_past_admission_is_stalled_and_never_tried(
    cluster: Cluster, submit: SubmitJob
) -> None:
    invalid = merged(FROM_SCRATCH, {"model": {"id": "org/model"}})
    job = wait_until("the API server takes it", lambda: _applied(cluster, submit, invalid), 30)

    job.await_condition("Stalled", 30)

    stalled = job.condition("Stalled")
    assert stalled["reason"] == "InvalidSpec"
    assert "spec.model" in stalled["message"] or "model" in stalled["message"]
    assert job.pods == []
    assert job.status.get("attempts", []) == []


def _applied(cluster: Cluster, submit: SubmitJob, spec: dict[str, object]) -> Job | None:
    """None while the API server still serves the schema with the rules, or asks the webhook."""
    manifest = yaml.safe_dump(job_manifest("slipped", spec))
    dry = cluster.run("kubectl", "apply", "--server-side", "--dry-run=server", "-f", "-", stdin=manifest)
    return submit("slipped", spec, {}) if dry.returncode == 0 else None


GPU_JOB = {"resources": {"accelerators": {"perNode": 2}}}


def test_a_gpu_job_on_a_node_without_one_says_unschedulable_and_why(submit: SubmitJob) -> None:
    job = submit("no-gpu", GPU_JOB)

    found = wait_until(
        "Unschedulable",
        lambda: (c := job.condition("Reconciling")).get("reason") == "Unschedulable" and c,
        60,
    )

    assert "nvidia.com/gpu" in found["message"]


@pytest.fixture
def advertised_gpus(cluster: Cluster) -> Iterator[None]:
    """The node says that it has four GPUs, as a device plugin would have it say."""
    node = cluster.items("nodes")[0]["metadata"]["name"]
    path = "/status/capacity/nvidia.com~1gpu"

    def patch(operation: dict[str, str]) -> None:
        cluster.kubectl(
            "patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps([operation])
        )

    patch({"op": "add", "path": path, "value": "4"})

    def allocatable() -> bool:
        return "nvidia.com/gpu" in cluster.get("node", node)["status"]["allocatable"]

    wait_until("the node advertises GPUs", allocatable, 60)
    yield
    patch({"op": "remove", "path": path})


@pytest.mark.usefixtures("advertised_gpus")
def test_a_gpu_job_lands_on_the_node_that_advertises_them(submit: SubmitJob) -> None:
    job = submit("gpu", GPU_JOB)

    pod = wait_until("a scheduled pod", lambda: [p for p in job.pods if p["spec"].get("nodeName")], 60)[0]

    requests = pod["spec"]["containers"][0]["resources"]
    assert requests["limits"]["nvidia.com/gpu"] == requests["requests"]["nvidia.com/gpu"] == "2"
    job.await_condition(
        "Failed", 120
    )  # the node only says so: the trainer finds no CUDA device, and says that
    assert "cuda" in job.condition("Failed")["message"].lower()
    assert job.status["usage"]["gpuSeconds"] > 0
