"""Progress: from a pod's report, over TLS and past the token's check, into the status of its job."""

import pytest

from finetune_api.protocol import status_path
from operator_rig import Manifest, Namespace, OperatorProcess, report, wait_until


def progress(step: int, **finetune: object) -> Manifest:
    return {
        "trainerStatus": {"progressPercentage": step, "metrics": [{"name": "loss", "value": "1.25"}]},
        "finetune": {"step": step, "totalSteps": 100, "activity": "training", **finetune},
    }


class Reporter:
    """A pod of attempt 1 of a job, seen from the network."""

    def __init__(self, namespace: Namespace, operator: OperatorProcess, job: str) -> None:
        self.namespace, self.operator, self.job = namespace, operator, job
        namespace.submit(job)
        self.pod = namespace.await_pod(job)["metadata"]["name"]
        self.authority = namespace.get("configmap", f"{job}-1")["data"]["ca.crt"]
        self.audience = f"finetune.dev/{namespace.name}/{job}"

    def send(
        self, body: Manifest, *, token: str | None = None, job: str = "", attempt: int = 1
    ) -> tuple[int, str]:
        token = token or self.namespace.token(self.pod, self.audience)
        path = status_path(self.namespace.name, job or self.job, attempt)
        code, answer = report(self.operator, path, token, body, self.authority)
        return code, answer.get("error", {}).get("code", "")


@pytest.fixture
def reporter(namespace: Namespace, operator: OperatorProcess) -> Reporter:
    return Reporter(namespace, operator, "tune")


def test_a_report_reaches_the_status(reporter: Reporter, namespace: Namespace) -> None:
    checkpoint = {"latest": {"step": 40, "path": "tune/checkpoints/step-00000040", "complete": True}}
    assert reporter.send(progress(42, checkpoints=checkpoint)) == (200, "")
    status = wait_until("the report is in the status", lambda: namespace.status("tune").get("progress"))
    assert (status["step"], status["totalSteps"]) == (42, 100)
    assert namespace.status("tune")["metrics"]["loss"] == "1.25"
    assert namespace.status("tune")["checkpoints"]["latest"]["step"] == 40


def test_what_an_unmodified_transformers_script_sends_reaches_the_status(
    reporter: Reporter, namespace: Namespace
) -> None:
    metrics = {"loss": "2.5", "current_step": "5", "total_steps": "10", "current_epoch": "0.5"}
    body = {
        "trainerStatus": {
            "lastUpdatedTime": "2026-01-01T00:00:00.123456+00:00",
            "progressPercentage": 50,
            "estimatedRemainingSeconds": 60,
            "metrics": [{"name": name, "value": value} for name, value in metrics.items()],
        }
    }
    assert reporter.send(body) == (200, "")
    status = wait_until("the report is in the status", lambda: namespace.status("tune").get("progress"))
    assert (status["percent"], status["step"], status["totalSteps"]) == (50, 5, 10)
    assert namespace.status("tune")["metrics"]["loss"] == "2.5"


def test_a_token_for_another_audience_is_refused(reporter: Reporter, namespace: Namespace) -> None:
    for audience in ("https://kubernetes.default.svc.cluster.local", f"finetune.dev/{namespace.name}/other"):
        token = namespace.token(reporter.pod, audience)
        assert reporter.send(progress(1), token=token) == (401, "Unauthorized")


def test_a_token_that_is_bound_to_no_pod_is_refused(reporter: Reporter, namespace: Namespace) -> None:
    token = namespace.token("", reporter.audience)
    assert reporter.send(progress(1), token=token) == (401, "Unauthorized")


def test_a_forged_token_is_refused(reporter: Reporter) -> None:
    assert reporter.send(progress(1), token="a.b.c") == (401, "Unauthorized")


def test_a_pod_of_nobody_is_refused(reporter: Reporter, namespace: Namespace) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "trainer", "image": "nothing"}]},
    }
    namespace.apply(pod)
    token = namespace.token("stranger", reporter.audience)
    assert reporter.send(progress(1), token=token) == (403, "ForeignPod")


def test_a_pod_that_wears_the_labels_of_the_job_is_refused(reporter: Reporter, namespace: Namespace) -> None:
    labels = namespace.get("pod", reporter.pod)["metadata"]["labels"]
    wanted = {name: value for name, value in labels.items() if name.startswith(("finetune.dev/", "app."))}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "impostor", "labels": wanted},
        "spec": {"containers": [{"name": "trainer", "image": "nothing"}]},
    }
    namespace.apply(pod)
    token = namespace.token("impostor", reporter.audience)
    assert reporter.send(progress(1), token=token) == (403, "ForeignPod")


def test_a_pod_may_not_report_for_another_attempt(reporter: Reporter) -> None:
    assert reporter.send(progress(1), attempt=2) == (403, "ForeignPod")


def test_a_pod_may_not_report_for_another_job(
    reporter: Reporter, namespace: Namespace, operator: OperatorProcess
) -> None:
    other = Reporter(namespace, operator, "other")
    token = namespace.token(reporter.pod, other.audience)
    assert reporter.send(progress(1), token=token, job="other") == (403, "ForeignPod")


def test_a_malformed_report_is_refused_and_counted(reporter: Reporter, operator: OperatorProcess) -> None:
    assert reporter.send({"trainerStatus": {"progressPercentage": 1000}}) == (422, "InvalidReport")
    assert operator.metric('finetune_reports_total{outcome="InvalidReport"}') == 1


def test_many_reports_are_few_writes(reporter: Reporter, namespace: Namespace) -> None:
    token = namespace.token(reporter.pod, reporter.audience)
    reporter.send(progress(1), token=token)
    wait_until("the first report is there", lambda: namespace.status("tune").get("progress"))
    before = len(namespace.requests("update"))
    for step in range(2, 17):
        assert reporter.send(progress(step), token=token) == (200, "")
    wait_until("the last report is there", lambda: namespace.status("tune")["progress"]["step"] == 16)
    assert len(namespace.requests("update")) - before <= 4, "one in two seconds"
