"""Upgrading and uninstalling the chart while jobs run."""

from __future__ import annotations

from collections.abc import Callable

from live import SYSTEM_NAMESPACE, Cluster, Job, wait_until

SubmitJob = Callable[..., Job]


def test_upgrade_and_uninstall_leave_a_running_job_alone(
    cluster: Cluster, release: list[str], submit: SubmitJob
) -> None:
    job = submit("undisturbed", {"training": {"maxSteps": 900}})
    job.await_step(5)
    pods = [pod["metadata"]["uid"] for pod in job.pods]

    cluster.helm(*release, "--set-string=log.level=DEBUG")
    assert [pod["metadata"]["uid"] for pod in job.pods] == pods

    cluster.helm("uninstall", "finetune", "-n", SYSTEM_NAMESPACE, "--wait")
    assert [pod["metadata"]["uid"] for pod in job.pods] == pods
    assert job.read()["spec"]["training"]["maxSteps"] == 900

    cluster.helm(*release)
    seen = job.step
    wait_until("progress after the reinstallation", lambda: job.step > seen or job.step == 900, 90)
    status = job.await_condition("Complete", 240)
    assert [attempt["number"] for attempt in status["attempts"]] == [1]
