"""What is read of a status that another version has written."""

from __future__ import annotations

from typing import Any

from finetune_api import FineTuneJobStatus
from finetune_operator.deciding.refusal import has_ended
from finetune_operator.watching import stored

ENDED = {
    "type": "Complete",
    "status": "True",
    "reason": "Succeeded",
    "lastTransitionTime": "2026-01-01T12:00:00Z",
}


def status_of(**status: Any) -> FineTuneJobStatus:
    raw = {"metadata": {"name": "tune"}, "status": status}
    kept, found = stored.read(raw)
    assert FineTuneJobStatus.from_json_object(kept["status"]) == found
    return found


def test_a_status_that_can_be_read_is_left_as_it_is() -> None:
    raw = {"metadata": {"name": "tune"}, "status": {"observedGeneration": 1, "attempt": 2}}
    kept, status = stored.read(raw)
    assert kept is raw
    assert (status.observed_generation, status.attempt) == (1, 2)


def test_a_job_without_a_status_has_an_empty_one() -> None:
    assert stored.read({"metadata": {"name": "tune"}})[1] == FineTuneJobStatus()


def test_a_word_of_a_newer_version_costs_no_more_than_its_field() -> None:
    status = status_of(
        attempt=2,
        phase="Daydreaming",
        conditions=[ENDED],
        progress={"step": 5, "activity": "dreaming"},
        attempts=[
            {"number": 1, "outcome": "Failed", "reason": "FromTheFuture", "lastStep": 3},
            {"number": 2, "outcome": "Succeeded", "reason": "Succeeded"},
        ],
    )
    assert has_ended(status)
    assert (status.attempt, status.phase) == (2, None)
    assert [(record.number, record.reason) for record in status.attempts] == [(1, None), (2, "Succeeded")]
    assert status.attempts[0].last_step == 3
    assert status.progress is not None
    assert (status.progress.step, status.progress.activity) == (5, None)


def test_what_a_part_cannot_be_without_takes_the_part_with_it() -> None:
    status = status_of(
        attempt=12,
        conditions=[ENDED, {"type": "Half"}, {"type": "Other", "status": "Maybe"}],
        attempts=[{"number": number} for number in range(1, 13)] + [{"outcome": "Failed"}],
    )
    assert [condition.type for condition in status.conditions] == ["Complete"]
    assert status.attempt == 12


def test_a_key_that_is_wrong_takes_its_section_with_it() -> None:
    status = status_of(attempt=1, metrics={"x" * 100: "1", "loss": "2"})
    assert (status.attempt, status.metrics) == (1, {})


def test_rubbish_is_no_status_at_all() -> None:
    assert status_of(attempts="none", conditions=7, startTime="yesterday") == FineTuneJobStatus()
