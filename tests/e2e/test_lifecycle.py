"""Deletion, a killed pod, suspension: what happens in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable

from live import NAMESPACE, Cluster, Job, kill_container, wait_until

SubmitJob = Callable[..., Job]
LONG = {"training": {"maxSteps": 4000}, "checkpoints": {"everySteps": 50}}


def test_deleting_a_running_job_removes_its_children_and_leaves_the_volumes(
    cluster: Cluster, submit: SubmitJob
) -> None:
    job = submit("deleted", LONG)
    job.await_step(1)

    job.delete("--wait=true", "--timeout=60s")

    selector = ("-n", NAMESPACE, "-l", "finetune.dev/job=deleted")
    kinds = "jobs,pods,configmaps,services"
    wait_until("no children", lambda: cluster.items(kinds, *selector) == [], 90)
    assert cluster.get("pvc", "-n", NAMESPACE, "models")["status"]["phase"] == "Bound"


def test_a_killed_pod_is_replaced_by_an_attempt_that_resumes(cluster: Cluster, submit: SubmitJob) -> None:
    job = submit("killed", {"training": {"maxSteps": 900}, "checkpoints": {"everySteps": 300}})
    saved = job.await_checkpoint()
    job.await_step(saved + 100)
    kill_container(job.pods[0])

    status = job.await_condition("Complete", 240)

    first, second = status["attempts"]
    assert first["outcome"] == "Failed"
    assert second["outcome"] == "Succeeded"
    assert second["resumedStep"] >= saved
    assert second["resumedStep"] % 300 == 0
    assert status["retries"] == 1
    assert status["progress"]["step"] == 900
    assert 0 < status["usage"]["wastedRankSeconds"] < status["usage"]["rankSeconds"]
    assert "Retrying" in job.events()


def test_retries_end_at_their_limit(submit: SubmitJob) -> None:
    crash = {
        "resources": {"command": ["python", "-c", "raise SystemExit(1)"]},
        "failurePolicy": {"maxRetries": 1},
    }
    job = submit("crashing", crash)

    status = job.await_condition("Failed", 120)

    assert job.condition("Failed")["reason"] == "RetriesExhausted"
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Failed", "Failed"]


def test_a_suspended_job_saves_ends_and_goes_on_from_that_step(submit: SubmitJob) -> None:
    job = submit("suspended", {"training": {"maxSteps": 600}, "checkpoints": {"everySteps": 1000}})
    job.await_step(20)

    job.patch({"suspend": True})
    status = job.await_condition("Suspended", 90)
    assert job.pods == []
    saved = status["checkpoints"]["latest"]["step"]
    assert saved >= 20
    assert status["attempts"][0]["outcome"] == "Suspended"

    job.patch({"suspend": False})
    status = job.await_condition("Complete", 240)
    assert status["attempts"][1]["resumedStep"] == saved
    assert status.get("retries", 0) == 0
    assert job.condition("Suspended")["status"] == "False"
