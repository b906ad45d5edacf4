"""The records of attempts."""

from __future__ import annotations

from finetune_api import AttemptStatus, FineTuneJobStatus
from finetune_api.conditions import Reason
from finetune_operator.deciding.attempts import (
    begun,
    clipped,
    closed,
    remembered,
    remembering,
    with_pods,
    with_record,
)
from finetune_operator.deciding.evidence import Evidence
from finetune_operator.deciding.outcome import Ending
from operator_scenes import at, pod, result

RUNNING = AttemptStatus(number=1, start_time=at(0))


def test_the_newest_ten_attempts_stay() -> None:
    status = FineTuneJobStatus()
    for number in range(1, 15):
        status = begun(status, number, at(number))
    assert [record.number for record in status.attempts] == list(range(5, 15))
    assert status.attempt == 14
    assert status.start_time == at(1)


def test_only_a_failure_uses_up_a_retry() -> None:
    for outcome, retries in (("Failed", 1), ("Preempted", 0), ("Lost", 0), ("Suspended", 0)):
        before = FineTuneJobStatus(attempts=[AttemptStatus(number=1, outcome=outcome)])
        assert begun(before, 2, at(0)).retries == retries


def test_the_clearest_failure_that_was_seen_is_remembered() -> None:
    peer = Evidence(Reason.PEER_LOST, "gloo: connection reset", 21, at(50))
    cause = Evidence(Reason.DIVERGED, "NaN", 13, at(60))
    record = remembering(remembering(remembering(RUNNING, [peer]), [cause]), [peer])
    found = remembered(record)
    assert found is not None
    assert (found.reason, found.message, found.exit_code) == (Reason.DIVERGED, "NaN", 13)
    assert remembered(RUNNING) is None


def test_an_attempt_starts_with_its_first_pod_and_keeps_that_time() -> None:
    record = with_pods(RUNNING, [pod(started_at=at(30)), pod(index=1, started_at=at(20))], at(40))
    assert (record.start_time, record.pods) == (at(20), 2)
    counted = record.model_copy(update={"rank_seconds": 5})
    assert with_pods(counted, [pod(started_at=at(90))], at(99)).start_time == at(20)
    assert with_pods(counted, [], at(99)).pods == 2


def test_a_closed_record_keeps_the_furthest_step() -> None:
    record = RUNNING.model_copy(update={"last_step": 50})
    end = Ending("Failed", Reason.DIVERGED, "NaN", at(90), 13, result("failed", Reason.DIVERGED, 13, step=40))
    after = closed(record, end)
    assert (after.outcome, after.last_step, after.end_time) == ("Failed", 50, at(90))
    assert with_record(FineTuneJobStatus(attempts=[record]), after).attempts == [after]


def test_text_is_clipped_by_bytes_and_stays_text() -> None:
    assert clipped("short") == "short"
    assert clipped("ä" * 10, 11) == "ääää…"
