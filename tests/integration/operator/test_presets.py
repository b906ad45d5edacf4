"""A job that names a preset, in a cluster without a webhook: resolved once, and never again."""

import json
from pathlib import Path
from typing import Any

from operator_rig import Manifest, Namespace, OperatorProcess, job_manifest, running, wait_until


def preset(name: str = "ours", **values: Any) -> Manifest:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTunePreset",
        "metadata": {"name": name},
        "spec": {"title": "Ours", "values": values},
    }


def resolved(namespace: Namespace, attempt: int = 1) -> Manifest:
    """What the trainer of an attempt reads, as soon as it is there."""
    found = wait_until(f"attempt {attempt}", lambda: namespace.get("configmap", f"tune-{attempt}"))
    document: Manifest = json.loads(found["data"]["job.json"])
    return document


def test_the_preset_fills_what_the_job_left_open(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.apply(preset(method={"lora": {"rank": 64, "alpha": 7}}, training={"maxSteps": 99, "seed": 5}))
    # A seed of 42 and an alpha of 32 are the schema's defaults: whoever spells them out means them.
    namespace.submit("tune", preset="ours", training={"seed": 42}, method={"lora": {"alpha": 32}})
    document = resolved(namespace)
    assert document["spec"]["method"]["lora"]["rank"] == 64
    assert document["spec"]["method"]["lora"]["alpha"] == 32
    assert document["spec"]["training"]["maxSteps"] == 99
    assert document["spec"]["training"]["seed"] == 42
    stored = namespace.get("finetunepreset", "ours")
    assert document["preset"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    assert document["preset"]["values"] == stored["spec"]["values"]
    told = wait_until("the status names it", lambda: namespace.status("tune").get("preset"))
    assert told == {key: value for key, value in document["preset"].items() if key != "values"}


def test_a_preset_may_give_what_every_other_job_has_to_say(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    given = job_manifest("tune")["spec"]
    namespace.apply(preset(model=given["model"], dataset=given["dataset"]))
    manifest = job_manifest("tune", preset="ours")
    del manifest["spec"]["model"], manifest["spec"]["dataset"]
    namespace.apply(manifest)
    assert resolved(namespace)["spec"]["model"]["path"] == "/models/base"


def test_a_built_in_preset_needs_no_object(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune", preset="chat", dataset={"train": {"path": "/data/train.jsonl"}})
    document = resolved(namespace)
    assert document["preset"]["source"] == "builtin"
    assert document["spec"]["dataset"]["format"] == "messages"


def test_a_changed_preset_does_not_change_the_next_attempt_of_a_job_that_has_started(
    namespace: Namespace, operator: OperatorProcess, installation: Path, tmp_path: Path
) -> None:
    namespace.apply(preset(training={"seed": 5}))
    namespace.submit("tune", preset="ours", failurePolicy={"backoffSeconds": 1})
    assert resolved(namespace)["spec"]["training"]["seed"] == 5
    namespace.await_child("tune-1")
    namespace.apply(preset(training={"seed": 6}))
    # Another operator, that has not seen the preset as it was, carries the job on.
    with running(tmp_path, installation, watchNamespaces=[namespace.name]):
        namespace.kubectl("patch", "ftj", "tune", "--type=merge", "-p", '{"spec": {"suspend": true}}')
        wait_until("suspended", lambda: namespace.condition("tune", "Suspended").get("status") == "True")
        namespace.kubectl("patch", "ftj", "tune", "--type=merge", "-p", '{"spec": {"suspend": false}}')
        assert resolved(namespace, 2)["spec"]["training"]["seed"] == 5


def test_a_job_whose_preset_is_not_there_says_so_and_starts_when_it_comes(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.submit("tune", preset="ours")
    wait_until("Stalled", lambda: namespace.condition("tune", "Stalled").get("status") == "True")
    stalled = namespace.condition("tune", "Stalled")
    assert stalled["reason"] == "UnknownPreset"
    assert namespace.condition("tune", "Ready")["reason"] == "UnknownPreset"
    assert not namespace.items("jobs")
    assert "preset: ours is not the name of a preset, neither built in nor" in stalled["message"]
    namespace.apply(preset(training={"seed": 5}))
    assert resolved(namespace)["spec"]["training"]["seed"] == 5
    wait_until("accepted", lambda: namespace.condition("tune", "Accepted").get("status") == "True")
    assert namespace.condition("tune", "Stalled").get("status") != "True"


def test_a_preset_that_makes_the_job_invalid_stalls_it(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.apply(preset(resources={"memory": "64Mi"}))
    manifest = job_manifest("tune", preset="ours")
    del manifest["spec"]["resources"]
    namespace.apply(manifest)
    wait_until("Stalled", lambda: namespace.condition("tune", "Stalled").get("status") == "True")
    assert "resources.sharedMemory" in namespace.condition("tune", "Stalled")["message"]
    assert not namespace.items("jobs")
