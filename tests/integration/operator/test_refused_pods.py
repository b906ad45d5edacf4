"""What the API server refuses of an attempt: the status says why, and what then holds is what runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from operator_rig import Namespace, OperatorProcess, wait_until


def forbid(namespace: Namespace, what: str) -> None:
    """A quota of none."""
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {what: "0"}}}
    namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_until(
        "the quota counts", lambda: namespace.get("resourcequota", "team").get("status", {}).get("hard")
    )


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}}]
  validations: [{{expression: "false", message: no training by day}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}
"""


@contextmanager
def no_jobs_by_policy(namespace: Namespace) -> Iterator[None]:
    """An administrator's policy, in force."""
    policy = POLICY.format(name=namespace.name)
    namespace.control_plane.kubectl("apply", "-f", "-", input=policy)
    try:
        probe = ("create", "job", "probe", "--image=none", "--dry-run=server")
        wait_until("the policy counts", lambda: "by day" in namespace.kubectl(*probe, check=False))
        yield
    finally:
        for kind in (manifest["kind"] for manifest in yaml.safe_load_all(policy)):
            namespace.control_plane.kubectl("delete", kind, namespace.name)


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
    with no_jobs_by_policy(namespace):
        namespace.submit("tune")
        wait_until("the status says that the Job is refused", lambda: refused(namespace))
        assert "no training by day" in namespace.condition("tune", "Reconciling")["message"]

    def looked_at_again() -> bool:
        namespace.kubectl("annotate", "finetunejob", "tune", "--overwrite", f"look={len(asked)}")
        asked.append(True)
        return bool(namespace.get("job", "tune-1"))

    asked: list[bool] = []
    wait_until("the Job is created", looked_at_again)


def test_a_spec_that_fits_into_no_configmap_is_refused_for_good(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    """A job may have 1.5 MiB, a ConfigMap 1 MiB."""
    namespace.submit("tune", distributed={"deepspeedConfig": {"comment": "x" * 1_100_000}})
    wait_until("Stalled", lambda: namespace.condition("tune", "Stalled").get("reason") == "InvalidSpec")
    assert "1048576" in namespace.condition("tune", "Stalled")["message"]
    assert not namespace.items("configmaps", "-l", "finetune.dev/job=tune")
