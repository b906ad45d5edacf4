"""The operator dies; the training does not notice, and the status catches up."""

from __future__ import annotations

from collections.abc import Callable

from live import SYSTEM_NAMESPACE, Cluster, Job, kill_container, wait_until

SubmitJob = Callable[..., Job]


def kill_operator(cluster: Cluster) -> None:
    """SIGKILL: no grace, no last words."""
    selector = ("-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/name=finetune-operator")
    [pod] = cluster.items("pods", *selector)
    kill_container(pod)


def scale_operator(cluster: Cluster, replicas: int) -> None:
    deployment = cluster.items("deployments", "-n", SYSTEM_NAMESPACE)[0]["metadata"]["name"]
    cluster.kubectl("scale", "-n", SYSTEM_NAMESPACE, "deployment", deployment, f"--replicas={replicas}")


def test_killed_in_mid_run_it_starts_no_second_pod_and_the_status_catches_up(
    cluster: Cluster, submit: SubmitJob
) -> None:
    job = submit("orphaned", {"training": {"maxSteps": 600}, "checkpoints": {"everySteps": 100}})
    before = job.await_step(10)
    pods = [pod["metadata"]["uid"] for pod in job.pods]

    kill_operator(cluster)

    wait_until("progress after the kill", lambda: job.step > before, 90)
    assert [pod["metadata"]["uid"] for pod in job.pods] == pods
    status = job.await_condition("Complete", 180)
    assert [attempt["number"] for attempt in status["attempts"]] == [1]


def test_killed_and_away_while_a_job_ends_it_still_knows_the_final_metrics(
    cluster: Cluster, submit: SubmitJob
) -> None:
    job = submit("unseen", {"training": {"maxSteps": 300}})
    job.await_step(5)
    kill_operator(cluster)
    scale_operator(cluster, 0)

    def finished() -> bool:
        return all(pod["status"]["phase"] == "Succeeded" for pod in job.pods)

    wait_until("the pod ends unobserved", finished, 120)
    assert job.step < 300
    scale_operator(cluster, 1)

    status = job.await_condition("Complete", 90)
    assert status["progress"]["step"] == 300
    assert float(status["metrics"]["loss"]) > 0
    assert status["output"]["verified"] is True
    assert [attempt["number"] for attempt in status["attempts"]] == [1]
