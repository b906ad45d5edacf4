"""What becomes of a FineTuneJob: a child Job with its name, a status that tells of it, an end."""

import json
import signal
from pathlib import Path

from operator_rig import Namespace, OperatorProcess, job_manifest, running, wait_until

RECONCILES = "finetune_reconcile_duration_seconds_count"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


def settled(namespace: Namespace, name: str) -> bool:
    """True once the status says that there is no node for the pod: nothing more happens by itself."""
    return namespace.condition(name, "Reconciling").get("reason") == "Unschedulable"


def test_before_an_operator_has_seen_it_a_job_is_not_taken_for_ready(namespace: Namespace) -> None:
    manifest = json.dumps(job_manifest("tune"))
    stored = namespace.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=manifest)
    assert json.loads(stored)["status"] == {"observedGeneration": -1}


def test_a_job_gets_a_child_that_it_owns(namespace: Namespace, operator: OperatorProcess) -> None:
    job = namespace.submit("tune")
    child = namespace.await_child("tune-1")
    [owner] = child["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("FineTuneJob", job["metadata"]["uid"], True)
    assert child["metadata"]["labels"]["finetune.dev/job"] == "tune"
    assert child["metadata"]["labels"]["finetune.dev/attempt"] == "1"
    container = child["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "finetune-trainer:test"
    data = namespace.get("configmap", "tune-1")["data"]
    assert json.loads(data["job.json"])["job"]["name"] == "tune"
    assert data["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")


def test_the_status_tells_which_spec_it_is_about(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune")
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    job = namespace.get("finetunejob", "tune")
    assert job["status"]["observedGeneration"] == job["metadata"]["generation"]
    assert namespace.condition("tune", "Accepted")["status"] == "True"
    assert namespace.condition("tune", "Reconciling")["status"] == "True"
    assert namespace.condition("tune", "Ready")["status"] == "False"


def test_events_tell_the_story(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune")
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    events = wait_until("an event", lambda: namespace.items("events.events.k8s.io"))
    ours = [event for event in events if event["regarding"]["name"] == "tune"]
    assert ours
    assert {event["reportingController"] for event in ours} == {"finetune.dev/finetune-operator"}
    assert "tune" in namespace.kubectl("describe", "finetunejob", "tune")
    assert len({(event["reason"], event["note"]) for event in ours}) == len(ours)


def test_nothing_is_written_when_nothing_has_changed(
    namespace: Namespace, operator: OperatorProcess, installation: Path, tmp_path: Path
) -> None:
    namespace.submit("tune")
    namespace.await_pod("tune")
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    # which is written first, and then told
    wait_until(
        "the last event",
        lambda: "Unschedulable" in {e["reason"] for e in namespace.items("events.events.k8s.io")},
    )
    before = namespace.requests(*WRITES)
    with running(tmp_path, installation, watchNamespaces=[namespace.name]) as second:
        wait_until("the second operator has looked", lambda: second.metric(RECONCILES) > 0)
        looked = second.metric(RECONCILES)
        namespace.kubectl("annotate", "finetunejob", "tune", "note=changed")
        wait_until("it has looked again", lambda: second.metric(RECONCILES) > looked)
        assert namespace.requests(*WRITES) == before


def test_the_job_itself_is_never_written_only_its_status(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.submit("tune")
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    written = {request for request in namespace.requests(*WRITES) if "finetunejobs" in request}
    assert written == {"update finetunejobs/status"}
    job = namespace.get("finetunejob", "tune")
    assert "finalizers" not in job["metadata"]
    assert "annotations" not in job["metadata"]


def test_a_killed_operator_makes_no_second_child(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune")
    first = namespace.await_child("tune-1")["metadata"]["uid"]
    operator.stop(signal.SIGKILL)
    namespace.submit("meanwhile")
    operator.start()
    namespace.await_child("meanwhile-1")
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    assert [job["metadata"]["name"] for job in namespace.items("jobs")] == ["meanwhile-1", "tune-1"]
    assert namespace.get("job", "tune-1")["metadata"]["uid"] == first


def test_a_deleted_job_leaves_nothing_behind(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune", checkpoints={"storage": {"size": "1Gi"}})
    namespace.await_pod("tune")
    namespace.kubectl("delete", "finetunejob", "tune", "--cascade=foreground", "--timeout=60s")
    kinds = "jobs,configmaps,services,pods"
    selector = ("-l", "finetune.dev/job=tune")
    wait_until("the children are gone", lambda: not namespace.items(kinds, *selector))
    assert namespace.get("pvc", "tune-storage"), "volumes are never deleted"
    wait_until("the queue is empty", lambda: operator.metric("finetune_queue_depth") == 0)
    assert not namespace.items(kinds, *selector), "and nothing makes them again"


def test_a_child_that_somebody_suspends_waits_and_goes_on_as_the_same_attempt(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    """As Kueue does, and as people do."""
    namespace.submit("tune")
    first = namespace.await_pod("tune")["metadata"]["name"]
    suspend = ("patch", "job", "tune-1", "--type=merge", "-p")
    namespace.kubectl(*suspend, '{"spec":{"suspend":true}}')
    wait_until("the job waits", lambda: namespace.condition("tune", "Reconciling").get("reason") == "Queued")
    wait_until("the pod is gone", lambda: not namespace.get("pod", first))
    assert namespace.status("tune")["phase"] == "Queued"
    namespace.kubectl(*suspend, '{"spec":{"suspend":false}}')
    assert namespace.await_pod("tune")["metadata"]["name"] != first
    wait_until("the status is up to date", lambda: settled(namespace, "tune"))
    assert [record["number"] for record in namespace.status("tune")["attempts"]] == [1]
    assert [job["metadata"]["name"] for job in namespace.items("jobs")] == ["tune-1"]


def test_pods_left_behind_by_a_deleted_child_are_no_reason_for_second_ones(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.submit("tune")
    pod = namespace.await_pod("tune")["metadata"]["name"]
    namespace.kubectl("delete", "job", "tune-1", "--cascade=orphan")

    def told() -> bool:
        return f"`kubectl delete pod {pod}`" in namespace.condition("tune", "Ready").get("message", "")

    wait_until("the status tells of the pod", told)
    assert not namespace.items("jobs")
    namespace.kubectl("delete", "pod", pod)
    namespace.await_child("tune-2")


def test_a_stranger_with_the_childs_name_is_a_conflict_and_stays_untouched(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.kubectl("create", "configmap", "tune-1", "--from-literal=mine=yes")
    namespace.submit("tune")

    def conflict() -> bool:
        return namespace.condition("tune", "Stalled").get("reason") == "NameConflict"

    wait_until("the conflict is told", conflict)
    stranger = namespace.get("configmap", "tune-1")
    assert stranger["data"] == {"mine": "yes"}
    assert "ownerReferences" not in stranger["metadata"]
    assert not namespace.items("jobs")


def test_a_job_whose_child_ends_well_is_complete(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.submit("tune")
    pod = namespace.await_pod("tune")["metadata"]["name"]
    result = {
        "outcome": "succeeded",
        "reason": "Succeeded",
        "message": "",
        "exitCode": 0,
        "step": 10,
        "totalSteps": 10,
        "metrics": {"loss": "0.5"},
        "output": {"kind": "adapter", "path": "tune/output/adapter", "verified": True},
    }
    terminated = {
        "exitCode": 0,
        "reason": "Completed",
        "message": json.dumps(result),
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:01:00Z",
    }
    namespace.patch_trainer(pod, "Succeeded", {"terminated": terminated})
    namespace.kubectl("wait", "finetunejob", "tune", "--for=condition=Complete", "--timeout=60s")
    status = namespace.status("tune")
    assert status["phase"] == "Succeeded"
    assert status["metrics"]["loss"] == "0.5"
    assert status["output"]["path"] == "tune/output/adapter"
    assert namespace.condition("tune", "Ready")["status"] == "True"
