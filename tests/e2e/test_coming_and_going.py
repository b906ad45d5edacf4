"""What a job needs may come after it, and a job may come again before its first pods are gone."""

from __future__ import annotations

from collections.abc import Callable

from live import Cluster, Job, Manifest, as_jsonl, config_map, instructions, merged, wait_until

SubmitJob = Callable[..., Job]
SAVES_WHEN_TOLD: Manifest = {"training": {"maxSteps": 300}, "checkpoints": {"everySteps": 1000}}


def test_a_config_map_that_is_not_there_is_named_and_the_job_starts_when_it_comes(
    cluster: Cluster, submit: SubmitJob
) -> None:
    job = submit("late", {"dataset": {"train": {"configMap": {"name": "late", "key": "train.jsonl"}}}})

    said = wait_until(
        "PodConfigError",
        lambda: (c := job.condition("Reconciling")).get("reason") == "PodConfigError" and c,
        120,
    )
    assert 'configmap "late" not found' in said["message"]
    assert job.condition("Stalled")["status"] == "False"

    # kubelet tries again by itself, less and less often
    cluster.apply(config_map("late", train__jsonl=as_jsonl(instructions(64))))
    status = job.await_condition("Complete", 300)
    assert [attempt["number"] for attempt in status["attempts"]] == [1]
    assert status.get("retries", 0) == 0


def test_a_job_that_is_created_again_waits_for_the_first_ones_pods_and_goes_on_where_they_saved(
    submit: SubmitJob,
) -> None:
    job = submit("again", SAVES_WHEN_TOLD)
    reached = job.await_step(20)
    first = {pod["metadata"]["uid"] for pod in job.pods}

    job.delete("--wait=true", "--timeout=60s")
    again = submit("again", SAVES_WHEN_TOLD)

    def own_pods() -> list[Manifest]:
        pods = again.pods
        own = [pod for pod in pods if pod["metadata"]["uid"] not in first]
        left = [pod for pod in pods if pod["metadata"]["uid"] in first]
        ended = [pod for pod in left if pod["status"]["phase"] in {"Succeeded", "Failed"}]
        assert not own or left == ended, "two pods write to one directory"
        return own

    wait_until("a pod of its own", own_pods, 120)
    [attempt] = again.await_condition("Complete", 240)["attempts"]
    assert attempt["resumedStep"] >= reached
    assert again.status["progress"]["step"] == 300


def test_a_second_job_does_not_write_where_another_has_begun(submit: SubmitJob) -> None:
    owner = submit("owner", merged(SAVES_WHEN_TOLD, {"training": {"maxSteps": 4000}}))
    owner.await_step(1)

    second = submit("second", merged(SAVES_WHEN_TOLD, {"checkpoints": {"storage": {"subPath": "owner"}}}))

    second.await_condition("Stalled", 30)
    stalled = second.condition("Stalled")
    assert stalled["reason"] == "DirectoryInUse"
    assert "FineTuneJob owner" in stalled["message"]
    assert second.pods == []
    assert second.status.get("attempts", []) == []
