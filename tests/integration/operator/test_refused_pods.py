"""A Job whose pods the API server refuses: only events tell, and the status says what they tell."""

from operator_rig import Namespace, OperatorProcess, wait_until


def test_the_status_says_why_there_are_no_pods(namespace: Namespace, operator: OperatorProcess) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"pods": "0"}}}
    namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_until(
        "the quota counts", lambda: namespace.get("resourcequota", "team").get("status", {}).get("hard")
    )
    namespace.submit("tune")
    namespace.await_child("tune-1")

    def refused() -> bool:
        return namespace.condition("tune", "Reconciling").get("reason") == "PodsRefused"

    wait_until("the status says that the pods are refused", refused)
    assert "exceeded quota: team" in namespace.condition("tune", "Reconciling")["message"]
    told = [event["reason"] for event in namespace.items("events.events.k8s.io")]
    assert told.count("PodsRefused") == 1
