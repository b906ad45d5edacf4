"""The time in the cluster is the API server's, whatever the clock of the operator's node says."""

from datetime import UTC, datetime, timedelta

import pytest

from finetune_operator.clock import ClusterClock

OWN = datetime(2026, 1, 1, 12, 0, 0, 700_000, tzinfo=UTC)


def clock() -> ClusterClock:
    return ClusterClock(lambda: OWN)


def test_the_own_clock_counts_until_somebody_says_otherwise() -> None:
    assert clock().now() == OWN


@pytest.mark.parametrize("date", ["Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 11:59:51 GMT"])
def test_an_answer_that_took_seconds_is_no_difference(date: str) -> None:
    cluster = clock()
    cluster.heard(date)
    assert cluster.now() == OWN


@pytest.mark.parametrize("hours", [-7, 3])
def test_a_clock_that_is_hours_off_is_set_right(hours: int, caplog: pytest.LogCaptureFixture) -> None:
    cluster = clock()
    cluster.heard(f"Thu, 01 Jan 2026 {12 + hours:02}:00:00 GMT")
    assert abs(cluster.now() - OWN - timedelta(hours=hours)) < timedelta(seconds=1)
    assert ("ahead of" if hours < 0 else "behind") in caplog.text


def test_a_clock_that_was_mended_counts_again(caplog: pytest.LogCaptureFixture) -> None:
    cluster = clock()
    cluster.heard("Thu, 01 Jan 2026 09:00:00 GMT")
    cluster.heard("Thu, 01 Jan 2026 12:00:00 GMT")
    assert cluster.now() == OWN


@pytest.mark.parametrize("date", [None, "", "soon", "Thu, 01 Jan 2026 09:00:00 -0000"])
def test_what_is_no_date_tells_nothing(date: str | None) -> None:
    cluster = clock()
    cluster.heard(date)
    assert cluster.now() == OWN
