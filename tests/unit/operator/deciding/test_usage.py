"""What attempts have used, and what of it was lost."""

from __future__ import annotations

import pytest

from finetune_api import AttemptStatus, FineTuneJobStatus
from finetune_api.status import CheckpointRef, CheckpointsStatus
from finetune_operator.deciding.usage import Rates, accounted, active_seconds, measured, wasted_share
from operator_scenes import at, ended_pod, make_job, pod

RATES = Rates(ranks=4, accelerators=2)
RUNNING = AttemptStatus(number=1, start_time=at(0))


def ended(outcome: str = "Failed", seconds: float = 100, **facts: object) -> AttemptStatus:
    return AttemptStatus(number=1, start_time=at(0), end_time=at(seconds), outcome=outcome, **facts)


def saved(seconds: float | None, *, complete: bool = True) -> FineTuneJobStatus:
    time = at(seconds) if seconds is not None else None
    latest = CheckpointRef(step=5, path="p", complete=complete, time=time)
    return FineTuneJobStatus(checkpoints=CheckpointsStatus(latest=latest))


def test_a_pod_counts_from_its_start_to_its_end_or_to_now() -> None:
    record = measured(RUNNING, [ended_pod(0, seconds=40), pod(index=1)], RATES, at(60))
    assert record.rank_seconds == (30 + 50) * 4
    assert record.gpu_seconds == (30 + 50) * 2


def test_a_pod_that_has_not_started_counts_nothing() -> None:
    assert measured(RUNNING, [pod(started_at=None)], RATES, at(60)).rank_seconds == 0


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_node_whose_clock_is_hours_off_counts_from_when_the_pod_came_to_it(hours: int) -> None:
    elsewhere = {"scheduled_at": at(8), "started_at": at(10 + 3600 * hours)}
    assert measured(RUNNING, [pod(**elsewhere)], RATES, at(60)).rank_seconds == 52 * 4
    done = ended_pod(0, seconds=40 + 3600 * hours, **elsewhere)
    assert measured(RUNNING, [done], RATES, at(60)).rank_seconds == 30 * 4


def test_a_pod_that_vanishes_takes_nothing_with_it() -> None:
    record = measured(RUNNING, [pod()], RATES, at(60))
    assert measured(record, [], RATES, at(70)) == record


def test_totals_move_by_what_an_attempt_grew_however_often_it_is_counted() -> None:
    status = FineTuneJobStatus()
    first = measured(RUNNING, [pod()], RATES, at(60))
    status = accounted(status, RUNNING, first)
    status = accounted(status, first, first)
    assert status.usage is not None
    assert (status.usage.rank_seconds, status.usage.gpu_seconds) == (200, 100)


def test_what_is_lost_is_counted_once_when_the_attempt_ends() -> None:
    before = measured(RUNNING, [pod()], RATES, at(110))
    after = ended(rank_seconds=400, gpu_seconds=200)
    status = accounted(saved(75), before, after)
    status = accounted(status, after, after)
    assert status.usage is not None
    assert (status.usage.wasted_rank_seconds, status.usage.wasted_gpu_seconds) == (100, 50)


@pytest.mark.parametrize(
    ("record", "status", "share"),
    [
        (ended(), FineTuneJobStatus(), 1.0),
        (ended(), saved(75), 0.25),
        (ended(), saved(75, complete=False), 1.0),
        (ended(), saved(-50), 1.0),
        (ended(), saved(None), 1.0),
        (ended(resumed_step=1, last_step=9), saved(-7200), 0.5),
        (ended(resumed_step=5, last_step=9), saved(-50), 1.0),
        (ended(), saved(500), 0.0),
        (ended("Succeeded"), FineTuneJobStatus(), 0.0),
        (ended("Suspended"), saved(100), 0.0),
        (ended("Preempted"), saved(50), 0.5),
    ],
)
def test_lost_is_the_time_after_the_last_whole_checkpoint_of_the_attempt(
    record: AttemptStatus, status: FineTuneJobStatus, share: float
) -> None:
    assert wasted_share(record, status) == pytest.approx(share)


def test_rates_follow_the_spec() -> None:
    assert Rates.of(make_job()) == Rates(1, 0)
    assert Rates.of(make_job({"resources": {"accelerators": {"perNode": 8}}})) == Rates(8, 8)


def test_active_time_is_that_of_one_pod() -> None:
    job = make_job({"distributed": {"nodes": 2, "processesPerNode": 2}})
    status = FineTuneJobStatus(usage={"rank_seconds": 400})
    assert active_seconds(status, job) == 100
