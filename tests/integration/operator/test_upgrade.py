"""`helm upgrade` from an earlier state of the API, and a rollback from a later one: nothing is trained again.

On a control plane of its own, because the CRD is everybody's.
"""

import copy
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from onenode import ControlPlane
from operator_rig import (
    SYSTEM,
    Manifest,
    Namespace,
    OperatorProcess,
    account_kubeconfig,
    job_manifest,
    running,
    wait_until,
)

CRD = "finetunejobs.finetune.dev"
CREATES = ("create", "delete", "deletecollection")
RECONCILES = "finetune_reconcile_duration_seconds_count"

SINCE_THE_FIRST_CHART = (
    "spec.cancel",
    "spec.failurePolicy.startTimeoutSeconds",
    "spec.model.config.experts",
    "spec.training.schedule.patience",
    "status.output.mergedPath",
    "status.hub",
    "status.evaluation",
    "status.preset",
    "status.attempts.warnings",
    "status.estimate.accelerator",
    "status.estimate.corrected",
)
"""Fields that the CRD of the first chart did not have, so that its API server stored nothing of them."""
NEW_WORDS = {
    "status.phase": {"Cancelled", "Cancelling"},
    "status.attempts.outcome": {"Cancelled"},
    "status.attempts.reason": {"Cancelled", "Cancelling", "DirectoryInUse", "NoNodeFits", "PodsRefused"},
}
SUCCEEDED = {
    "observedGeneration": 1,
    "phase": "Succeeded",
    "startTime": "2026-01-01T12:00:00Z",
    "completionTime": "2026-01-01T13:00:00Z",
    "attempt": 1,
    "attempts": [{"number": 1, "outcome": "Succeeded", "reason": "Succeeded", "lastStep": 10}],
    "output": {"kind": "adapter", "path": "done/output/adapter", "verified": True},
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "Succeeded",
            "message": "Trained 10 steps.",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T13:00:00Z",
        }
        for kind in ("Ready", "Complete")
    ],
}
"""As the first operator left it."""


def schema_at(crd: Manifest, path: str) -> tuple[Manifest, str]:
    """The properties that a field is among, and its name."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    *parents, name = path.split(".")
    for parent in parents:
        schema = schema["properties"][parent]
        schema = schema.get("items", schema)
    return schema["properties"], name


def earlier(crd: Manifest) -> Manifest:
    """The CRD without what has come since the first chart."""
    older = copy.deepcopy(crd)
    for path in SINCE_THE_FIRST_CHART:
        properties, name = schema_at(older, path)
        del properties[name]
    for path, words in NEW_WORDS.items():
        properties, name = schema_at(older, path)
        properties[name]["enum"] = [word for word in properties[name]["enum"] if word not in words]
    rules = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules["x-kubernetes-validations"] = [
        rule for rule in rules["x-kubernetes-validations"] if "cancel" not in rule["rule"]
    ]
    return older


def later(crd: Manifest) -> Manifest:
    """A CRD that knows more words and fields than today's."""
    newer = copy.deepcopy(crd)
    for path in NEW_WORDS:
        properties, name = schema_at(newer, path)
        properties[name]["enum"].append("FromTheFuture")
    properties, name = schema_at(newer, "status.progress")
    properties[name]["properties"]["mood"] = {"type": "string"}
    return newer


class Cluster:
    """A cluster on which the chart is released, in one version after another."""

    def __init__(self, control_plane: ControlPlane, chart: list[Manifest], folder: Path) -> None:
        self.control_plane = control_plane
        self.folder = folder
        self.crd = next(m for m in chart if m["metadata"]["name"] == CRD)
        elsewhere = {"Deployment", "Service", "ValidatingWebhookConfiguration"}
        control_plane.kubectl("create", "namespace", SYSTEM)
        rest = [m for m in chart if m["kind"] not in elsewhere and m is not self.crd]
        self._apply(*rest)
        self.kubeconfig = account_kubeconfig(control_plane, SYSTEM, "finetune-operator", folder)
        control_plane.kubectl("create", "namespace", "team")
        self.team = Namespace(control_plane, "team")
        self._probes = 0

    def upgrade(self, crd: Manifest, field: str) -> None:
        """Bring the CRD, as helm does, and wait until the API server knows (or not) a field of the status."""
        self._apply(crd)
        established = "jsonpath={.status.conditions[?(@.type=='Established')].status}"
        wait_until(
            "the CRD is established",
            lambda: self.control_plane.kubectl("get", "crd", CRD, "-o", established, check=False) == "True",
        )
        properties, name = schema_at(crd, field)
        wanted = name in properties

        def served() -> bool:
            published = self.control_plane.kubectl("get", "--raw", OPENAPI, check=False)
            if not published.startswith("{"):
                return False  # a new kind is published a little later than it is served
            schema = json.loads(published)["components"]["schemas"].get("dev.finetune.v1alpha1.FineTuneJob")
            if schema is None:
                return False
            held, last = schema_at({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}, field)
            return (last in held) is wanted

        wait_until("the schema is served", served)

    def _apply(self, *manifests: Manifest) -> None:
        text = yaml.safe_dump_all(manifests)
        self.control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)


OPENAPI = "/openapi/v3/apis/finetune.dev/v1alpha1"


@pytest.fixture(scope="module")
def cluster(rendered_chart: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ControlPlane() as control_plane:
        yield Cluster(control_plane, rendered_chart, tmp_path_factory.mktemp("upgraded"))


def everything_was_looked_at(operator: OperatorProcess, jobs: int) -> None:
    wait_until("each job was looked at", lambda: operator.metric(RECONCILES) >= jobs)
    wait_until("nothing is left to do", lambda: operator.metric("finetune_queue_depth") == 0)


def test_what_an_earlier_version_stored_stays_and_what_it_started_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    team = cluster.team
    cluster.upgrade(earlier(cluster.crd), "status.hub")
    team.submit("done")
    team.patch_status("finetunejob", "done", SUCCEEDED)
    running_job = job_manifest("running")
    with running(tmp_path, cluster.kubeconfig) as operator:
        team.apply(running_job)
        pod = team.await_pod("running")
        wait_until("its status", lambda: team.status("running").get("attempts"))
        everything_was_looked_at(operator, 2)
        operator.stop(signal.SIGKILL)
        before, child = team.get("finetunejob", "done"), team.get("job", "running-1")
        created = team.requests(*CREATES)

        cluster.upgrade(cluster.crd, "status.hub")
        operator.start()
        everything_was_looked_at(operator, 2)
        assert team.get("finetunejob", "done")["status"] == before["status"]
        assert [job["metadata"]["uid"] for job in team.items("jobs")] == [child["metadata"]["uid"]]
        assert team.await_pod("running")["metadata"]["uid"] == pod["metadata"]["uid"]
        assert [record["number"] for record in team.status("running")["attempts"]] == [1]
        assert [
            request for request in team.requests(*CREATES)[len(created) :] if "event" not in request
        ] == []

        team.apply(running_job)
        assert team.get("finetunejob", "running")["metadata"]["generation"] == 1, "a manifest stays the same"
        ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(RESULT), **TIMES}
        team.patch_trainer(pod["metadata"]["name"], "Succeeded", {"terminated": ended})
        team.kubectl("wait", "finetunejob", "running", "--for=condition=Complete", "--timeout=60s")
        assert team.status("running")["output"]["mergedPath"] == RESULT["output"]["mergedPath"]
    stored = json.loads(cluster.control_plane.kubectl("get", "crd", CRD, "-o", "json"))["status"]
    assert stored["storedVersions"] == ["v1alpha1"]


RESULT: Manifest = {
    "outcome": "succeeded",
    "reason": "Succeeded",
    "message": "",
    "exitCode": 0,
    "step": 10,
    "totalSteps": 10,
    "metrics": {"loss": "0.5"},
    "output": {"kind": "adapter", "path": "a", "verified": True, "mergedPath": "running/output/merged"},
}
TIMES = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}


def test_after_a_rollback_words_of_a_later_version_cost_nothing(cluster: Cluster, tmp_path: Path) -> None:
    team = cluster.team
    cluster.upgrade(later(cluster.crd), "status.progress.mood")
    future = copy.deepcopy(SUCCEEDED)
    future |= {"phase": "FromTheFuture", "progress": {"step": 10, "percent": 100, "mood": "happy"}}
    future["attempts"][0]["reason"] = "FromTheFuture"
    team.submit("future")
    team.patch_status("finetunejob", "future", future)
    cluster.upgrade(cluster.crd, "status.progress.mood")
    created = team.requests(*CREATES)
    with running(tmp_path, cluster.kubeconfig) as operator:
        everything_was_looked_at(operator, len(team.items("finetunejobs")))
    status = team.status("future")
    assert status["phase"] == "FromTheFuture"
    assert status["attempts"][0]["reason"] == "FromTheFuture"
    assert not team.items("jobs", "-l", "finetune.dev/job=future")
    assert team.requests(*CREATES) == created
