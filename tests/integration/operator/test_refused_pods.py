"""What the API server refuses of an attempt: the status says why, and what then holds is what runs."""

import json

from finetune_api.validation.rules.size import MAX_SPEC_BYTES
from operator_rig import Namespace, OperatorProcess, wait_until
from policies import NO_JOBS, policy_in_force


def forbid(namespace: Namespace, what: str) -> None:
    """A quota of none."""
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {what: "0"}}}
    namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_until(
        "the quota counts", lambda: namespace.get("resourcequota", "team").get("status", {}).get("hard")
    )


def refused(namespace: Namespace) -> bool:
    return namespace.condition("tune", "Reconciling").get("reason") == "PodsRefused"


def test_a_spec_that_was_mended_before_the_start_is_what_runs(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    forbid(namespace, "count/jobs.batch")
    namespace.submit("tune", training={"maxSteps": 10})
    wait_until("the status says that the Job is refused", lambda: refused(namespace))
    namespace.kubectl("delete", "resourcequota", "team")
    patch = json.dumps({"spec": {"training": {"maxSteps": 20}}})
    namespace.kubectl("patch", "finetunejob", "tune", "--type=merge", "-p", patch)
    namespace.await_child("tune-1")
    resolved = json.loads(namespace.get("configmap", "tune-1")["data"]["job.json"])
    assert resolved["spec"]["training"]["maxSteps"] == 20


def test_the_status_says_why_there_are_no_pods(namespace: Namespace, operator: OperatorProcess) -> None:
    forbid(namespace, "pods")
    namespace.submit("tune")
    namespace.await_child("tune-1")
    wait_until("the status says that the pods are refused", lambda: refused(namespace))
    assert "exceeded quota: team" in namespace.condition("tune", "Reconciling")["message"]
    told = [event["reason"] for event in namespace.items("events.events.k8s.io")]
    assert told.count("PodsRefused") == 1


def test_a_policy_that_refuses_today_may_allow_it_tomorrow(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    """Its denial has the code of an invalid object, which would never be tried again."""
    with policy_in_force(namespace, NO_JOBS, "by day"):
        namespace.submit("tune")
        wait_until("the status says that the Job is refused", lambda: refused(namespace))
        assert "no training by day" in namespace.condition("tune", "Reconciling")["message"]

    def looked_at_again() -> bool:
        namespace.kubectl("annotate", "finetunejob", "tune", "--overwrite", f"look={len(asked)}")
        asked.append(True)
        return bool(namespace.get("job", "tune-1"))

    asked: list[bool] = []
    wait_until("the Job is created", looked_at_again)


def test_a_spec_that_leaves_no_room_is_refused_before_anything_is_made(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    """Else its status could not be written."""
    namespace.submit("tune", distributed={"deepspeedConfig": {"comment": "x" * MAX_SPEC_BYTES}})
    wait_until("Stalled", lambda: namespace.condition("tune", "Stalled").get("reason") == "InvalidSpec")
    assert (
        f"{MAX_SPEC_BYTES} leave room for the job's status"
        in namespace.condition("tune", "Stalled")["message"]
    )
    assert not namespace.items("configmaps", "-l", "finetune.dev/job=tune")
