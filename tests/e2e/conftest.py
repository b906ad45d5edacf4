"""A real cluster with our chart and images in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from live import (
    BASE_MODEL,
    CHART,
    FROM_SCRATCH,
    NAMESPACE,
    REPOSITORY,
    SYSTEM_NAMESPACE,
    Cluster,
    Job,
    Manifest,
    as_jsonl,
    config_map,
    instructions,
    job_manifest,
)
from onenode import paths


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster(kubeconfig=paths.KUBECONFIG, bin=paths.BIN)


@pytest.fixture(scope="session")
def image_values() -> list[str]:
    """The chart's values for the images that `make images` built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "finetune-operator"
    tags = json.loads((cache / "images/tags.json").read_text())
    return [f"--set-string=images.{name}={tag}" for name, tag in tags.items()]


@pytest.fixture(scope="session")
def release(cluster: Cluster, image_values: list[str]) -> Iterator[list[str]]:
    """The operator, installed by its chart; yields the command that installs it (again)."""
    install = ["upgrade", "--install", "finetune", str(CHART), "-n", SYSTEM_NAMESPACE, "--create-namespace"]
    install += [*image_values, "--wait", "--timeout=120s"]
    cluster.helm(*install)
    yield install
    cluster.run("helm", "uninstall", "finetune", "-n", SYSTEM_NAMESPACE, "--wait", "--ignore-not-found")
    cluster.kubectl("delete", "crd", "--ignore-not-found", "finetunejobs.finetune.dev")
    cluster.kubectl("delete", "namespace", SYSTEM_NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="session")
def namespace(cluster: Cluster, release: list[str]) -> Iterator[str]:
    """A namespace under the restricted Pod Security profile, with a claim for models and a small data set."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    with cluster.restricted_namespace(NAMESPACE) as name:
        cluster.apply(claim, config_map("instructions", train__jsonl=as_jsonl(instructions(256))))
        yield name


@pytest.fixture
def submit(cluster: Cluster, namespace: str) -> Iterator[Callable[..., Job]]:
    """Apply a FineTuneJob; it is deleted when the test ends."""
    submitted: list[Job] = []

    def apply(name: str, spec: Manifest | None = None, base: Manifest = FROM_SCRATCH) -> Job:
        cluster.apply(job_manifest(name, spec or {}, base))
        job = Job(cluster, name)
        submitted.append(job)
        return job

    yield apply
    for job in submitted:
        job.delete("--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def base_model(cluster: Cluster, namespace: str) -> str:
    """A tiny model, trained from scratch by the operator and left on the claim; returns its path in pods."""
    cluster.apply(job_manifest("base", {"training": {"maxSteps": 150}}, FROM_SCRATCH))
    Job(cluster, "base").await_condition("Complete")
    return BASE_MODEL


@pytest.fixture
def example(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Iterator[Job]:
    """The FineTuneJob of an example, applied with all that its file brings; deleted when the test ends."""
    path = REPOSITORY / f"examples/{request.param}.yaml"
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    name = next(each["metadata"]["name"] for each in documents if each["kind"] == "FineTuneJob")
    cluster.kubectl("apply", "-n", namespace, "-f", str(path))
    yield Job(cluster, name)
    cluster.kubectl("delete", "-n", namespace, "-f", str(path), "--wait=false")
    claims = cluster.items("persistentvolumeclaims", "-n", NAMESPACE)
    if any(claim["metadata"]["name"] == f"{name}-storage" for claim in claims):
        cluster.kubectl("delete", "-n", namespace, "pvc", f"{name}-storage", "--wait=false")
