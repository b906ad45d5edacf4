"""Reports: the newest counts, news is released at once, mere progress no more often than the interval."""

from typing import Any

import pytest

from finetune_api import ProgressReport
from finetune_operator.keys import JobKey
from finetune_operator.watching.reports import METRICS_KEPT, NEWS_IN_A_ROW, ReportStore, is_news, merge

KEY = JobKey("team", "tune")
UID = "ftj-uid"
CHECKPOINT = {"latest": {"step": 5, "path": "checkpoints/step-5"}}


def report(step: int = 0, *, metrics: dict[str, float] | None = None, **finetune: Any) -> ProgressReport:
    listed = [{"name": name, "value": value} for name, value in (metrics or {}).items()]
    return ProgressReport.from_json_object(
        {
            "trainerStatus": {"progressPercentage": step, "metrics": listed},
            "finetune": {"step": step, "activity": "training", **finetune},
        }
    )


def stock(percent: int, **metrics: float) -> ProgressReport:
    """What an unmodified transformers script sends."""
    listed = [{"name": name, "value": str(value)} for name, value in metrics.items()]
    return ProgressReport.from_json_object(
        {"trainerStatus": {"progressPercentage": percent, "metrics": listed}}
    )


@pytest.fixture
def store(clock: Any) -> ReportStore:
    return ReportStore(2.0, clock)


def step_of(store: ReportStore, attempt: int = 1) -> int:
    finetune = store.released(KEY, UID)[attempt].finetune
    assert finetune is not None
    return finetune.step


def test_an_unknown_job_has_no_reports(store: ReportStore) -> None:
    assert store.released(KEY, UID) == {}
    assert store.next_release(KEY, UID) is None


def test_the_first_report_is_released_at_once(store: ReportStore) -> None:
    assert store.submit(KEY, UID, 1, report(1)) == 0
    assert step_of(store) == 1


def test_mere_progress_waits_for_the_interval(store: ReportStore, clock: Any) -> None:
    store.submit(KEY, UID, 1, report(1))
    store.released(KEY, UID)
    clock.advance(0.5)
    assert store.submit(KEY, UID, 1, report(2)) == 1.5
    assert step_of(store) == 1
    assert store.next_release(KEY, UID) == 1.5
    clock.advance(1.5)
    assert step_of(store) == 2
    assert store.next_release(KEY, UID) is None


def test_looking_often_does_not_release_more_often(store: ReportStore, clock: Any) -> None:
    released = set()
    for step in range(1, 101):
        store.submit(KEY, UID, 1, report(step))
        released.add(step_of(store))
        clock.advance(0.1)
    assert len(released) == 5  # ten seconds, one release in two


@pytest.mark.parametrize(
    "news",
    [
        {"checkpoints": CHECKPOINT},
        {"activity": "saving"},
        {"output": {"kind": "adapter", "path": "output/adapter"}},
        {
            "result": {
                "outcome": "succeeded",
                "reason": "Succeeded",
                "message": "",
                "exitCode": 0,
                "step": 5,
            }
        },
    ],
    ids=lambda news: next(iter(news)),
)
def test_news_is_released_at_once(store: ReportStore, clock: Any, news: dict[str, Any]) -> None:
    store.submit(KEY, UID, 1, report(1))
    store.released(KEY, UID)
    clock.advance(0.1)
    assert store.submit(KEY, UID, 1, report(2, **news)) == 0
    assert step_of(store) == 2


def test_news_is_not_lost_under_the_progress_that_follows_it(store: ReportStore, clock: Any) -> None:
    store.submit(KEY, UID, 1, report(1))
    store.released(KEY, UID)
    store.submit(KEY, UID, 1, report(2, checkpoints=CHECKPOINT))
    assert store.submit(KEY, UID, 1, report(3)) == 0
    finetune = store.released(KEY, UID)[1].finetune
    assert finetune is not None
    assert finetune.step == 3
    assert finetune.checkpoints is not None


def test_coalesced_reports_are_counted(clock: Any) -> None:
    coalesced = []
    store = ReportStore(2.0, clock, lambda: coalesced.append(1))
    for step in range(1, 4):
        store.submit(KEY, UID, 1, report(step))
    store.released(KEY, UID)
    store.submit(KEY, UID, 1, report(4))
    assert len(coalesced) == 2


def test_a_flood_of_news_is_written_little_more_often_than_mere_progress(
    store: ReportStore, clock: Any
) -> None:
    released: list[ProgressReport] = []
    for number in range(200):
        store.submit(KEY, UID, 1, report(number // 2, activity=("saving", "training")[number % 2]))
        newest = store.released(KEY, UID)[1]
        if not released or newest is not released[-1]:
            released.append(newest)
        clock.advance(0.1)
    assert len(released) <= NEWS_IN_A_ROW + 2 * 20 / 2.0  # in 20 seconds


def test_an_overtaken_report_does_not_replace_a_newer_one(store: ReportStore) -> None:
    store.submit(KEY, UID, 1, report(2, sentAt="2026-01-01T00:00:02Z"))
    store.submit(KEY, UID, 1, report(1, sentAt="2026-01-01T00:00:01Z"))
    assert step_of(store) == 2


def test_a_report_with_more_steps_is_the_newer_one_also_when_a_clock_was_set_back(store: ReportStore) -> None:
    store.submit(KEY, UID, 1, report(2, sentAt="2026-01-01T01:00:00Z"))
    store.submit(KEY, UID, 1, report(3, sentAt="2026-01-01T00:00:00Z"))
    assert step_of(store) == 3


def test_only_the_two_newest_attempts_are_kept(store: ReportStore) -> None:
    for attempt in (1, 2, 3):
        store.submit(KEY, UID, attempt, report(attempt))
    assert sorted(store.released(KEY, UID)) == [2, 3]


def test_a_job_that_is_gone_is_forgotten(store: ReportStore) -> None:
    store.submit(KEY, UID, 1, report(1))
    store.forget(KEY)
    assert len(store) == 0
    assert store.released(KEY, UID) == {}


def test_what_a_report_leaves_out_stays_as_it_was() -> None:
    first = report(1, metrics={"loss": 2.0, "evalLoss": 1.0}, tokens=10)
    merged = merge(first, report(2, metrics={"loss": 1.5}))
    assert merged.finetune is not None
    assert (merged.finetune.step, merged.finetune.tokens) == (2, 10)
    assert {m.name: m.value for m in merged.trainer_status.metrics} == {"evalLoss": "1.0", "loss": "1.5"}


def test_a_stock_report_does_not_erase_what_ours_said() -> None:
    merged = merge(report(1, checkpoints=CHECKPOINT), stock(50, loss=1.0))
    assert merged.finetune is not None
    assert merged.finetune.checkpoints is not None
    assert merged.trainer_status.progress_percentage == 50


def test_metrics_that_never_repeat_do_not_pile_up() -> None:
    merged = stock(0)
    for i in range(3 * METRICS_KEPT):
        merged = merge(merged, stock(0, **{f"m{i}": 1.0}))
    assert len(merged.trainer_status.metrics) == METRICS_KEPT
    assert merged.trainer_status.metrics[-1].name == f"m{3 * METRICS_KEPT - 1}"


def test_numbers_are_no_news() -> None:
    assert not is_news(report(1, tokens=1), report(2, tokens=2))
    assert not is_news(stock(1), stock(2))


def test_what_pods_of_an_earlier_job_said_is_not_taken_for_the_job_that_took_its_name(
    store: ReportStore,
) -> None:
    store.submit(KEY, "earlier", 1, report(50, activity="saving"))
    assert store.released(KEY, UID) == {}
    assert store.next_release(KEY, UID) is None
    store.submit(KEY, UID, 1, report(1))
    finetune = store.released(KEY, UID)[1].finetune
    assert finetune is not None
    assert (finetune.step, finetune.activity) == (1, "training")
