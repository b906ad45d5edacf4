"""From a manifest to a model that loads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from live import (
    NAMESPACE,
    STORAGE,
    Cluster,
    Job,
    affirmations,
    as_jsonl,
    config_map,
    curve,
    lora_on_base,
    run_in_pod,
)

SubmitJob = Callable[..., Job]


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


@pytest.mark.parametrize("example", ["full-zero2-multinode"], indirect=True)
def test_two_nodes_of_two_ranks_have_the_losses_of_one_process(
    cluster: Cluster, example: Job, submit: SubmitJob, trainer_image: str
) -> None:
    spec = example.read()["spec"]
    batch = {"microBatchSize": 8, "gradientAccumulationSteps": 1}
    training, checkpoints = spec["training"] | batch, spec["checkpoints"] | {"storage": STORAGE}
    single = submit(
        "full-single", spec | {"training": training, "checkpoints": checkpoints, "distributed": {}}, {}
    )
    status = example.await_condition("Complete", 300)
    single.await_condition("Complete", 240)

    ours = curve(cluster, trainer_image, example.name, f"{example.name}-storage")
    theirs = curve(cluster, trainer_image, single.name)
    assert len(ours) == 9  # step 1, and every fifth
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert status["attempts"][0]["pods"] == 2
    assert status["output"]["verified"] is True


def test_lora_under_zero3_on_two_ranks_has_the_losses_of_one_process(
    cluster: Cluster, submit: SubmitJob, base_model: str, trainer_image: str
) -> None:
    two_ranks = {
        "training": {"maxSteps": 20, "microBatchSize": 4},
        "distributed": {"processesPerNode": 2, "zeroStage": 3},
    }
    lora = submit("lora-zero3", two_ranks, lora_on_base())
    single = submit("lora-single", {"training": {"maxSteps": 20, "microBatchSize": 8}}, lora_on_base())
    status = lora.await_condition("Complete", 300)
    single.await_condition("Complete", 240)

    ours, theirs = (curve(cluster, trainer_image, job.name) for job in (lora, single))
    assert len(ours) == 5
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert status["output"]["verified"] is True
