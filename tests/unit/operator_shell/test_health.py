"""Health: a watch that went deaf is noticed, and the probes say what is wrong."""

from typing import Any

from finetune_operator.cluster import JOBS, PODS
from finetune_operator.health import Health, WatchMonitor


def test_a_watch_that_echoes_our_writes_is_well(clock: Any) -> None:
    monitor = WatchMonitor(clock, overdue_seconds=60)
    monitor.expect(JOBS, 10)
    monitor.saw(JOBS, 10)
    clock.advance(3600)
    assert monitor.deaf() == []


def test_a_watch_that_does_not_is_deaf_after_a_while(clock: Any) -> None:
    monitor = WatchMonitor(clock, overdue_seconds=60)
    monitor.expect(JOBS, 10)
    monitor.saw(JOBS, 9)
    monitor.saw(PODS, 11)
    clock.advance(59)
    assert monitor.deaf() == []
    clock.advance(2)
    assert monitor.deaf() == ["jobs"]


def test_newer_news_stands_for_older(clock: Any) -> None:
    monitor = WatchMonitor(clock, overdue_seconds=60)
    for version in (10, 11, 12):
        monitor.expect(JOBS, version)
    monitor.saw(JOBS, 12)
    clock.advance(61)
    assert monitor.deaf() == []


def test_a_watch_is_not_deaf_while_the_api_server_is_away(clock: Any) -> None:
    monitor = WatchMonitor(clock, overdue_seconds=60)
    monitor.expect(JOBS, 10)
    for _ in range(10):
        clock.advance(30)
        monitor.cut_off("/apis/batch/v1/jobs", "503 Service Unavailable")
    assert monitor.deaf() == []
    clock.advance(61)
    assert monitor.deaf() == ["jobs"]


def test_a_watch_stands_once_it_is_served_again(clock: Any) -> None:
    monitor = WatchMonitor(clock)
    monitor.cut_off("/api/v1/pods", "503 Service Unavailable")
    monitor.answered("/apis/batch/v1/jobs")
    assert monitor.refused() == {"/api/v1/pods": "503 Service Unavailable"}
    monitor.answered("/api/v1/pods")
    assert monitor.refused() == {}


def test_a_watch_without_writes_is_never_suspected(clock: Any) -> None:
    monitor = WatchMonitor(clock, overdue_seconds=60)
    clock.advance(3600)
    assert monitor.deaf() == []


def test_readiness_includes_liveness_and_names_what_is_wrong() -> None:
    health = Health(
        live={"workers": lambda: "2 died", "watch": lambda: ""}, ready={"caches": lambda: "not yet"}
    )
    assert health.liveness() == {"workers": "2 died"}
    assert health.readiness() == {"workers": "2 died", "caches": "not yet"}
