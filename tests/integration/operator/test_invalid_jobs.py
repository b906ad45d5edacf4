"""An invalid job: refused by the API server; slipped past it, Stalled with findings, and never retried."""

import itertools
import uuid
from collections.abc import Iterator

import pytest
import yaml

from findings_table import EVERY_CASE
from finetune_api import check_manifest
from finetune_api.validation import errors_in
from finetune_operator.deciding.refusal import described
from onenode import ControlPlane
from onenode.throwaway import ControlPlaneError
from operator_rig import Manifest, Namespace, OperatorProcess, job_manifest, wait_until

CRD = "finetunejobs.finetune.dev"


def without_checks(crd: Manifest) -> Manifest:
    """The CRD as somebody might have installed it: any spec goes."""
    version = crd["spec"]["versions"][0]
    open_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    version["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"spec": open_schema, "status": {"default": status["default"], **open_schema}},
    }
    return crd


@pytest.fixture
def open_crd(
    control_plane: ControlPlane, rendered_chart: list[Manifest], operator: OperatorProcess
) -> Iterator[None]:
    """A CRD that checks nothing, for one test."""
    text = yaml.safe_dump(next(m for m in rendered_chart if m["metadata"]["name"] == CRD))
    control_plane.kubectl("replace", "-f", "-", input=yaml.safe_dump(without_checks(yaml.safe_load(text))))
    wait_until_the_operator_reads_it(control_plane)
    yield
    control_plane.kubectl("replace", "-f", "-", input=text)


def submit_once_the_schema_is_open(namespace: Namespace, manifest: Manifest) -> None:
    """The API server takes a moment to forget the old schema."""

    def submitted() -> bool:
        try:
            namespace.apply(manifest)
        except ControlPlaneError:
            return False
        return True

    wait_until("the open schema is served", submitted)


def wait_until_the_operator_reads_it(control_plane: ControlPlane) -> None:
    """A watch goes on with the old schema for a moment, which drops unknown fields from all that it shows."""
    elsewhere = Namespace(control_plane, f"canaries-{uuid.uuid4().hex[:8]}")
    control_plane.kubectl("create", "namespace", elsewhere.name)
    numbers = itertools.count()

    def is_seen_whole() -> bool:
        name = f"canary-{next(numbers)}"
        submit_once_the_schema_is_open(elsewhere, job_manifest(name, suspend=True, unknown=True))
        wait_until("the operator has judged it", lambda: elsewhere.condition(name, "Stalled"))
        return elsewhere.condition(name, "Stalled")["status"] == "True"

    wait_until("the operator sees unknown fields", is_seen_whole)
    control_plane.kubectl("delete", "namespace", elsewhere.name, "--wait=false")


def test_the_api_server_refuses_it(namespace: Namespace) -> None:
    manifest = job_manifest("x" * 41)
    with pytest.raises(ControlPlaneError, match="40 characters"):
        namespace.apply(manifest)


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        ({"training": {"learningRate": "fast"}}, "training.learningRate"),
        ({"method": {"type": "magic"}}, "method.type"),
        ({"resources": {"memory": "64Mi"}}, "resources.sharedMemory"),
    ],
    ids=["wrong type", "unknown choice", "rule of several fields"],
)
def test_slipped_past_the_api_server_it_is_stalled_and_not_tried_again(
    namespace: Namespace, operator: OperatorProcess, open_crd: None, spec: Manifest, finding: str
) -> None:
    submit_once_the_schema_is_open(namespace, job_manifest("tune", **spec))
    wait_until("Stalled", lambda: namespace.condition("tune", "Stalled").get("status") == "True")
    stalled = namespace.condition("tune", "Stalled")
    assert stalled["reason"] == "InvalidSpec"
    assert finding in stalled["message"]
    wait_until("the queue is empty", lambda: operator.metric("finetune_queue_depth") == 0)
    assert namespace.requests("create", "update") == ["update finetunejobs/status", "create events"]
    assert not namespace.items("jobs")


def test_each_invalid_job_of_the_table_is_stalled_with_the_words_of_its_findings(
    namespace: Namespace, operator: OperatorProcess, open_crd: None
) -> None:
    """The table of `test_admission_webhook.py`, as if the API server had refused none of it."""
    messages = {}
    for case in EVERY_CASE:
        manifest = case.manifest
        name = manifest["metadata"]["name"]
        errors = errors_in(check_manifest(manifest)[1])
        if errors:
            submit_once_the_schema_is_open(namespace, {**manifest, "metadata": {"name": name}})
            messages[name] = described(errors)

    def stalled() -> dict[str, str]:
        found = {}
        for job in namespace.items("finetunejobs"):
            for condition in job.get("status", {}).get("conditions", []):
                if (condition["type"], condition["status"]) == ("Stalled", "True"):
                    found[job["metadata"]["name"]] = condition["message"]
        return found

    wait_until("every one is Stalled", lambda: stalled().keys() == messages.keys())
    assert stalled() == messages
    wait_until("the queue is empty", lambda: operator.metric("finetune_queue_depth") == 0)
    assert not namespace.items("jobs")
    assert not namespace.items("pods")
