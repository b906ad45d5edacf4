"""What is deleted when, and what never."""

from __future__ import annotations

from finetune_api import AttemptStatus, FineTuneJobStatus
from finetune_operator.deciding.cleanup import all_refs, expiry, forgotten, unfinished
from operator_scenes import at, child, complete, failed, make_job


def names(refs: list) -> list[str]:  # type: ignore[type-arg]
    return [f"{ref.kind}/{ref.name}" for ref in refs]


def test_the_job_of_an_attempt_goes_last_and_volumes_never() -> None:
    job = make_job({"distributed": {"nodes": 2}})
    refs = all_refs(job, [failed(1), complete(2)])
    kinds = ["ConfigMap", "Service", "Job"]
    assert names(refs) == [f"{kind}/tune-{number}" for number in (1, 2) for kind in kinds]
    assert refs[2].uid == "job-1"


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    assert all_refs(make_job(), [child(deleting=True)]) == []
    assert unfinished([child(deleting=True), failed(2), child(3)]) == [child(3)]


def test_jobs_of_attempts_that_the_status_has_forgotten_go() -> None:
    status = FineTuneJobStatus(attempts=[AttemptStatus(number=3), AttemptStatus(number=4)])
    assert forgotten(status, [failed(2), failed(3), child(1)]) == [failed(2)]


def test_children_expire_only_where_the_user_says_so() -> None:
    ended = FineTuneJobStatus(completion_time=at(100))
    policy = {"failurePolicy": {"ttlSecondsAfterFinished": 60}}
    assert expiry(make_job(), ended) is None
    assert expiry(make_job(policy), FineTuneJobStatus()) is None
    assert expiry(make_job(policy), ended) == at(160)
