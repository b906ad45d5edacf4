"""How often a job may report: a burst, then an average, and never at another job's expense."""

from typing import Any

import pytest

from finetune_operator.allowance import Allowance
from finetune_operator.keys import JobKey

A, B = JobKey("team", "a"), JobKey("team", "b")


def test_a_burst_is_allowed_and_then_the_average(clock: Any) -> None:
    allowance = Allowance(rate=2.0, burst=3, clock=clock)
    assert [allowance.take(A) for _ in range(3)] == [0, 0, 0]
    assert allowance.take(A) == pytest.approx(0.5)
    clock.advance(0.5)
    assert allowance.take(A) == 0
    assert allowance.take(A) > 0


def test_the_bucket_does_not_overflow(clock: Any) -> None:
    allowance = Allowance(rate=2.0, burst=3, clock=clock)
    clock.advance(3600)
    assert [allowance.take(A) == 0 for _ in range(4)] == [True, True, True, False]


def test_jobs_do_not_share(clock: Any) -> None:
    allowance = Allowance(rate=1.0, burst=1, clock=clock)
    assert allowance.take(A) == 0
    assert allowance.take(A) > 0
    assert allowance.take(B) == 0


def test_jobs_that_have_gone_quiet_are_forgotten(clock: Any) -> None:
    allowance = Allowance(rate=1.0, burst=10, clock=clock)
    for number in range(100):
        allowance.take(JobKey("team", str(number)))
    clock.advance(11)
    allowance.take(A)
    assert len(allowance) == 1
