"""What the validator lets through of a pod, a claim or a ConfigMap, Kubernetes takes."""

import json
import os
from collections.abc import Callable, Iterator

import pytest
from kubernetes.client import ApiException, BatchV1Api, CoreV1Api
from kubernetes.config import new_client_from_config

from finetune_api import FineTuneJob, FineTuneJobSpec, check_manifest
from finetune_api.crd import structural_schema
from finetune_api.validation import errors_in
from finetune_operator.rendering.attempt import render_attempt
from manifests import Manifest, changed
from near_misses import TEXTS
from onenode import ControlPlane
from operator_scenes import CONFIG
from random_specs import SpecMaker

SCHEMA = structural_schema(FineTuneJobSpec)
EXAMPLES = int(os.environ.get("FINETUNE_RANDOM_SPECS", "40"))
"""Jobs for each place."""

WHERE_PODS_RUN = (
    "resources.nodeSelector",
    "resources.tolerations",
    "resources.affinity.nodeAffinity",
    "resources.affinity.podAffinity",
    "resources.affinity.podAntiAffinity",
)
PLACES = (
    *WHERE_PODS_RUN,
    "resources.accelerators.resourceName",
    "resources.cpu",
    "resources.memory",
    "resources.sharedMemory",
    "resources.image",
    "resources.imagePullSecrets",
    "resources.command",
    "resources.env",
    "resources.volumes",
    "resources.priorityClassName",
    "resources.queueName",
    "resources.serviceAccountName",
    "resources.schedulerName",
    "resources.runtimeClassName",
    "checkpoints.storage",
    "failurePolicy.gracePeriodSeconds",
    "model.cache",
    "model.tokenSecret",
    "dataset.train.pvc",
    "dataset.train.configMap",
)
BESIDE: Manifest = {
    "resources.accelerators.resourceName": {"resources.accelerators.perNode": 1},
    "dataset.train.configMap": {"dataset.train.pvc": None},
}
"""What a value in a place needs to reach the pod."""


@pytest.fixture(scope="module")
def taken(control_plane: ControlPlane) -> Iterator[Callable[[Manifest], str]]:
    """Asks the API server to create an object without keeping it; what it says against it, or nothing."""
    with new_client_from_config(str(control_plane.kubeconfig)) as connection:
        core, batch = CoreV1Api(connection), BatchV1Api(connection)
        create = {
            "ConfigMap": core.create_namespaced_config_map,
            "Job": batch.create_namespaced_job,
            "PersistentVolumeClaim": core.create_namespaced_persistent_volume_claim,
        }

        def refusal(manifest: Manifest) -> str:
            try:
                create[manifest["kind"]]("default", manifest, dry_run="All", field_validation="Strict")
            except ApiException as refused:
                if refused.status not in (400, 422):
                    raise
                return str(json.loads(refused.body)["message"])
            return ""

        yield refusal


def drawn(place: str) -> Iterator[Manifest]:
    """Jobs with random values in one place."""
    schema = SCHEMA
    for part in place.split("."):
        schema = schema["properties"][part]
    maker = SpecMaker(PLACES.index(place), TEXTS, keys=[text for text in TEXTS if text])
    for _ in range(EXAMPLES):
        changes = {"metadata.namespace": "default", place: maker.value(schema)}
        yield changed(changes | BESIDE.get(place, {}))


def kubernetes_refuses(taken: Callable[[Manifest], str], job: FineTuneJob) -> str:
    refusals = (taken(child) for child in render_attempt(job, 1, CONFIG) if child["kind"] != "Service")
    return " ".join(filter(None, refusals))


@pytest.mark.parametrize("place", PLACES)
def test_what_the_validator_lets_through_kubernetes_takes(
    taken: Callable[[Manifest], str], place: str
) -> None:
    let_through, refused = 0, []
    for manifest in drawn(place):
        job, findings = check_manifest(manifest)
        if job is None or errors_in(findings):
            continue
        let_through += 1
        if said := kubernetes_refuses(taken, job):
            refused.append((manifest["spec"], said))
    assert let_through > 0
    assert refused == []


@pytest.mark.parametrize("place", WHERE_PODS_RUN)
def test_where_pods_run_the_validator_refuses_no_more_than_kubernetes(
    taken: Callable[[Manifest], str], place: str
) -> None:
    refused, takes = 0, []
    for manifest in drawn(place):
        job, findings = check_manifest(manifest)
        if job is None or not errors_in(findings):
            continue
        refused += 1
        if not kubernetes_refuses(taken, job):
            takes.append((manifest["spec"], [str(finding) for finding in errors_in(findings)]))
    assert refused > 0
    assert takes == []
