"""From a manifest to a model that loads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from live import (
    FROM_SCRATCH,
    NAMESPACE,
    STORAGE,
    Cluster,
    Job,
    affirmations,
    as_jsonl,
    config_map,
    lora_on_base,
    merged,
)

SubmitJob = Callable[..., Job]


def curve(cluster: Cluster, trainer_image: str, job: str) -> list[float]:
    """The losses in the job's metrics.jsonl, read from the volume by a pod."""
    lines = run_in_pod(cluster, trainer_image, f"print(open('/models/{job}/metrics.jsonl').read())")
    records = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return [record["loss"] for record in records if "loss" in record]


def run_in_pod(cluster: Cluster, image: str, script: str, name: str = "reader") -> str:
    """Run a line of Python in our image with the claim mounted, as any user's pod could."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "python",
        "image": image,
        "command": ["python", "-c", script],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        "securityContext": restricted,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": STORAGE}],
        },
    }
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
    try:
        phase = "jsonpath={.status.phase}"
        done = cluster.run(
            "kubectl", "wait", "-n", NAMESPACE, f"pod/{name}", f"--for={phase}=Succeeded", "--timeout=60s"
        )
        logs = cluster.kubectl("logs", "-n", NAMESPACE, name)
        assert done.returncode == 0, logs
        return logs
    finally:
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, name, "--wait=true", "--grace-period=0", "--force")


@pytest.fixture(scope="session")
def trainer_image(image_values: list[str]) -> str:
    return next(value.split("=", 2)[2] for value in image_values if "trainer" in value)


def test_lora_in_one_pod_learns_and_its_adapter_loads(
    cluster: Cluster, submit: SubmitJob, base_model: str, trainer_image: str
) -> None:
    cluster.apply(config_map("affirmations", train__jsonl=as_jsonl(affirmations(256))))
    other_task = {"train": {"configMap": {"name": "affirmations", "key": "train.jsonl"}}}
    changes = {"training": {"maxSteps": 120, "learningRate": 1e-2}, "dataset": other_task}
    job = submit("lora", changes, lora_on_base())
    status = job.await_condition("Complete")
    cluster.kubectl("wait", "-n", NAMESPACE, "finetunejob/lora", "--for=condition=Complete", "--timeout=10s")

    assert status["phase"] == "Succeeded"
    assert status["observedGeneration"] == job.read()["metadata"]["generation"]
    assert job.condition("Ready")["status"] == "True"
    assert job.condition("Reconciling").get("status", "False") == "False"
    assert job.condition("Stalled").get("status", "False") == "False"
    assert status["progress"]["step"] == status["progress"]["totalSteps"] == 120
    latest = status["checkpoints"]["latest"]
    assert (latest["step"], latest["complete"]) == (120, True)
    assert status["output"]["kind"] == "adapter"
    assert status["output"]["verified"] is True
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Succeeded"]
    assert status["usage"]["rankSeconds"] > 0
    assert len(json.dumps(status)) < 4096
    assert {"Accepted", "Succeeded"} <= set(job.events())
    assert len(job.events()) <= 12

    losses = curve(cluster, trainer_image, "lora")
    assert losses[-1] < 0.5 * losses[0]
    load = (
        "from peft import AutoPeftModelForCausalLM as Model;"
        "model = Model.from_pretrained('/models/lora/output/adapter');"
        "print(sorted(model.peft_config))"
    )
    assert "default" in run_in_pod(cluster, trainer_image, load)


@pytest.fixture
def one_process(submit: SubmitJob, base_model: str) -> dict[str, Job]:
    """The runs that the distributed ones must equal: one process with the same effective batch of 8."""
    batch = {"training": {"microBatchSize": 8, "maxSteps": 20}}
    return {
        "full": submit("full-single", batch),
        "lora": submit("lora-single", batch, lora_on_base()),
    }


def test_distributed_training_gives_the_loss_of_one_process(
    cluster: Cluster, submit: SubmitJob, one_process: dict[str, Job], trainer_image: str
) -> None:
    steps = {"maxSteps": 20}
    two_by_two = merged(
        FROM_SCRATCH,
        {
            "training": steps | {"microBatchSize": 2},
            "distributed": {"nodes": 2, "processesPerNode": 2, "zeroStage": 2},
        },
    )
    zero3 = merged(
        lora_on_base(),
        {"training": steps | {"microBatchSize": 4}, "distributed": {"processesPerNode": 2, "zeroStage": 3}},
    )
    for job in one_process.values():
        job.await_condition("Complete", 240)
    full = submit("full-zero2", {}, two_by_two)
    full.await_condition("Complete", 300)
    lora = submit("lora-zero3", {}, zero3)
    lora.await_condition("Complete", 300)

    for job, single in ((full, one_process["full"]), (lora, one_process["lora"])):
        ours, theirs = (curve(cluster, trainer_image, each.name) for each in (job, single))
        assert ours == pytest.approx(theirs, rel=1e-3), job.name
    assert full.status["attempts"][0]["pods"] == 2
    assert full.status["output"]["verified"] is True
