"""What the end-to-end tests need to speak of jobs on a real cluster."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from onenode import paths
from onenode.debian import CONTAINERD
from waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts/finetune-operator"
SYSTEM_NAMESPACE = "finetune-system"
NAMESPACE = "finetune-e2e"

Manifest = dict[str, Any]


def kill_container(pod: Manifest) -> None:
    """SIGKILL to the pod's first process, from the node, as an out-of-memory killer would send it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    ctr = [str(CONTAINERD.folder / "ctr"), "--address", str(paths.CONTAINERD_SOCKET), "-n", "k8s.io"]
    subprocess.run([*ctr, "tasks", "kill", "--signal", "SIGKILL", container], check=True, timeout=30)


@dataclass(frozen=True)
class Cluster:
    """The cluster, spoken to as a user does: by kubectl and helm, with the cluster's own kubeconfig."""

    kubeconfig: Path
    bin: Path

    def run(self, tool: str, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / tool), "--kubeconfig", str(self.kubeconfig), *args]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        done = self.run("kubectl", *args, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def helm(self, *args: str) -> str:
        done = self.run("helm", *args)
        assert done.returncode == 0, f"helm {' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *args: str) -> Manifest:
        found: Manifest = json.loads(self.kubectl("get", *args, "-o", "json"))
        return found

    def items(self, *args: str) -> list[Manifest]:
        items: list[Manifest] = self.get(*args)["items"]
        return items

    def apply(self, *manifests: Manifest) -> None:
        stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=stdin)

    @contextmanager
    def restricted_namespace(self, name: str) -> Iterator[str]:
        """A namespace under the restricted Pod Security profile, with its name; it is deleted at the end."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield name
        self.kubectl("delete", "namespace", name, "--timeout=120s")

    @cached_property
    def custom_objects(self) -> client.CustomObjectsApi:
        """For what is read several times a second: a process of kubectl would take that from the training."""
        return client.CustomObjectsApi(config.new_client_from_config(str(self.kubeconfig)))


@dataclass(frozen=True)
class Job:
    """A FineTuneJob in the cluster."""

    cluster: Cluster
    name: str

    @property
    def _reference(self) -> tuple[str, ...]:
        return ("-n", NAMESPACE, "finetunejob", self.name)

    def read(self) -> Manifest:
        found: Manifest = self.cluster.custom_objects.get_namespaced_custom_object(
            "finetune.dev", "v1alpha1", NAMESPACE, "finetunejobs", self.name
        )
        return found

    @property
    def status(self) -> Manifest:
        status: Manifest = self.read()["status"]
        return status

    @property
    def step(self) -> int:
        return int(self.status.get("progress", {}).get("step", 0))

    @property
    def pods(self) -> list[Manifest]:
        return self.cluster.items("pods", "-n", NAMESPACE, "-l", f"finetune.dev/job={self.name}")

    def condition(self, kind: str) -> Manifest:
        conditions = self.status.get("conditions", [])
        return next((found for found in conditions if found["type"] == kind), {})

    def await_condition(self, kind: str, seconds: float = 180) -> Manifest:
        def reached() -> Manifest | None:
            found = self.condition(kind)
            if kind != "Failed" and self.condition("Failed").get("status") == "True":
                pytest.fail(f"{self.name} failed: {json.dumps(self.status, indent=1)}\n{self.logs()}")
            return found if found.get("status") == "True" else None

        try:
            wait_until(f"{self.name} {kind}", reached, seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{json.dumps(self.status, indent=1)}\n{self.logs()}") from None
        return self.status

    def await_step(self, step: int, seconds: float = 120) -> int:
        return (
            wait_until(f"{self.name} at step {step}", lambda: self.step >= step and self.step, seconds) or 0
        )

    def await_checkpoint(self, seconds: float = 120) -> int:
        def latest() -> int:
            return int(self.status.get("checkpoints", {}).get("latest", {}).get("step", 0))

        return wait_until(f"a checkpoint of {self.name}", latest, seconds)

    def patch(self, spec: Manifest) -> None:
        self.cluster.kubectl("patch", *self._reference, "--type=merge", "-p", json.dumps({"spec": spec}))

    def logs(self) -> str:
        selector = f"finetune.dev/job={self.name}"
        done = self.cluster.run("kubectl", "logs", "-n", NAMESPACE, "-l", selector, "--tail=40", "--prefix")
        return done.stdout + done.stderr

    def events(self) -> list[str]:
        events = self.cluster.items("events.events.k8s.io", "-n", NAMESPACE)
        return [event["reason"] for event in events if event["regarding"]["name"] == self.name]

    def delete(self, *options: str) -> None:
        self.cluster.kubectl("delete", *self._reference, *options)


def run_in_pod(cluster: Cluster, image: str, script: str, claim: str = "models") -> str:
    """Run Python in our image with a claim mounted, as any user's pod could; returns what it printed."""
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
        "metadata": {"name": "reader", "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
    reader = ("-n", NAMESPACE, "pod/reader")
    try:
        succeeded = "--for=jsonpath={.status.phase}=Succeeded"
        done = cluster.run("kubectl", "wait", *reader, succeeded, "--timeout=60s")
        logs = cluster.kubectl("logs", *reader)
        assert done.returncode == 0, logs
        return logs
    finally:
        cluster.kubectl(
            "delete", "pod", "-n", NAMESPACE, "reader", "--wait=true", "--grace-period=0", "--force"
        )


def curve(cluster: Cluster, image: str, job: str, claim: str = "models") -> list[float]:
    """The losses in the job's metrics.jsonl, read from its volume by a pod."""
    lines = run_in_pod(cluster, image, f"print(open('/models/{job}/metrics.jsonl').read())", claim)
    records = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return [record["loss"] for record in records if "loss" in record]


def instructions(count: int, seed: int = 0) -> list[Manifest]:
    """Records of a task that even the smallest model learns something of: repeat a word in capitals."""
    words = ["tree", "river", "stone", "cloud", "light", "road", "house", "bread", "glass", "paper"]
    chosen = random.Random(seed)
    return [
        {"instruction": "Say it in capitals", "input": word, "output": word.upper()}
        for word in (chosen.choice(words) for _ in range(count))
    ]


def affirmations(count: int) -> list[Manifest]:
    """Records of another task, for tuning a model that has learnt the first."""
    return [
        {"instruction": "Is this a word?", "input": record["input"], "output": "Yes, it is."}
        for record in instructions(count, seed=1)
    ]


def as_jsonl(records: list[Manifest]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def config_map(name: str, **files: str) -> Manifest:
    data = {key.replace("__", "."): text for key, text in files.items()}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def merged(base: Manifest, changes: Manifest) -> Manifest:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result


def job_manifest(name: str, spec: Manifest, base: Manifest | None = None) -> Manifest:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": merged(base or {}, spec),
    }


STORAGE = {"claimName": "models"}
# One thread each: several jobs share the node, and threads of one wait for cores that another has.
RESOURCES = {"cpu": "500m", "memory": "2Gi", "env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}
FROM_SCRATCH: Manifest = {
    "model": {
        "config": {
            "architecture": "llama",
            "hiddenSize": 64,
            "intermediateSize": 128,
            "layers": 2,
            "attentionHeads": 4,
            "keyValueHeads": 2,
            "maxPositionEmbeddings": 256,
            "tieWordEmbeddings": True,
        },
        "tokenizer": {"train": {"vocabSize": 384}},
    },
    "method": {"type": "full"},
    "dataset": {"format": "alpaca", "train": {"configMap": {"name": "instructions", "key": "train.jsonl"}}},
    "training": {
        "maxSteps": 30,
        "microBatchSize": 4,
        "gradientAccumulationSteps": 1,
        "learningRate": 3e-3,
        "maxSequenceLength": 128,
        "loggingSteps": 5,
        "precision": "fp32",
    },
    "checkpoints": {"storage": STORAGE, "everySteps": 10, "keep": 2},
    "resources": RESOURCES,
    "failurePolicy": {"backoffSeconds": 1, "gracePeriodSeconds": 60},
}
BASE_MODEL = "/models/base/output/model"


def lora_on_base() -> Manifest:
    changes: Manifest = {
        "model": {"path": BASE_MODEL},
        "method": {"type": "lora", "lora": {"rank": 8, "alpha": 16, "dropout": 0.0}},
        "resources": {"volumes": [{"name": "base", "claimName": "models", "mountPath": "/models"}]},
    }
    return merged({key: value for key, value in FROM_SCRATCH.items() if key != "model"}, changes)
