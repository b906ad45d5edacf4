"""The newest report of each attempt, and when it may reach the status.

They are filed under the UID of the FineTuneJob that owns the attempt: where a job is deleted and created
again under its name, what the pods of the first one still say is not taken for the second one's.

Reports live in memory only: one that comes while the operator is down is lost, and the next one, or the
termination message, catches up. What is news (a checkpoint, an output, a result, another activity) is
released at once; mere progress waits until the job's last release is `interval` seconds old. So does news
beyond a few in a row and one an `interval` on average: no job can have its status written at will.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from finetune_api import ProgressReport
from finetune_operator.keys import JobKey

ATTEMPTS_KEPT = 2
METRICS_KEPT = 64
NEWS_IN_A_ROW = 5


@dataclass(slots=True)
class _JobReports:
    uid: str
    newest: dict[int, ProgressReport] = field(default_factory=dict)
    released: dict[int, ProgressReport] = field(default_factory=dict)
    released_at: float = float("-inf")
    urgent: bool = False
    news_left: float = NEWS_IN_A_ROW
    news_counted_at: float = 0.0

    @property
    def waiting(self) -> bool:
        return self.newest != self.released


class ReportStore:
    """Coalesces reports per job."""

    def __init__(
        self, interval: float, clock: Callable[[], float], coalesced: Callable[[], None] = lambda: None
    ) -> None:
        """`clock` is monotonic; `coalesced` is called when a report replaces one that nobody has seen."""
        self._interval = interval
        self._clock = clock
        self._coalesced = coalesced
        self._jobs: dict[JobKey, _JobReports] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, key: JobKey, uid: str, attempt: int, report: ProgressReport) -> float:
        """Take a report. Returns in how many seconds `released` will show it (0: now)."""
        job = self._jobs.get(key)
        if job is None or job.uid != uid:
            job = self._jobs[key] = _JobReports(uid)
        before = job.newest.get(attempt)
        if before is not None and _is_overtaken(report, before):
            return self._wait(job)  # overtaken by a newer one
        if before is not None and before is not job.released.get(attempt):
            self._coalesced()
        job.newest[attempt] = report if before is None else merge(before, report)
        for old in sorted(job.newest)[:-ATTEMPTS_KEPT]:
            del job.newest[old]
        if not job.urgent and (before is None or is_news(before, job.newest[attempt])):
            job.urgent = self._may_be_urgent(job)
        return self._wait(job)

    def released(self, key: JobKey, uid: str) -> dict[int, ProgressReport]:
        """What may reach the status of this very job now, by attempt."""
        job = self._jobs.get(key)
        if job is None or job.uid != uid:
            return {}
        if job.waiting and self._wait(job) == 0:
            job.released = dict(job.newest)
            job.released_at = self._clock()
            job.urgent = False
        return dict(job.released)

    def next_release(self, key: JobKey, uid: str) -> float | None:
        """In how many seconds `released` will show something newer; None if nothing waits."""
        job = self._jobs.get(key)
        return self._wait(job) if job is not None and job.uid == uid and job.waiting else None

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._jobs.pop(key, None)

    def _may_be_urgent(self, job: _JobReports) -> bool:
        now = self._clock()
        if self._interval > 0:
            regained = (now - job.news_counted_at) / self._interval
            job.news_left = min(NEWS_IN_A_ROW, job.news_left + regained)
        job.news_counted_at = now
        if job.news_left < 1:
            return False
        job.news_left -= 1
        return True

    def _wait(self, job: _JobReports) -> float:
        return 0.0 if job.urgent else max(0.0, job.released_at + self._interval - self._clock())


def _is_overtaken(report: ProgressReport, newest: ProgressReport) -> bool:
    """Whether it was sent before the newest one. More steps say no, whatever a clock says."""
    return _sent_at(report) < _sent_at(newest) and _done(report) <= _done(newest)


def _done(report: ProgressReport) -> int:
    """How far the run was: steps where the report counts them, else percent."""
    if report.finetune is not None:
        return report.finetune.step
    return report.trainer_status.progress_percentage or 0


def _sent_at(report: ProgressReport) -> datetime:
    ours = report.finetune.sent_at if report.finetune else None
    return ours or report.trainer_status.last_updated_time or datetime.max.replace(tzinfo=UTC)


def is_news(before: ProgressReport, after: ProgressReport) -> bool:
    """True when more than numbers moved."""
    old, new = before.finetune, after.finetune
    if new is None:
        return False
    if old is None:
        return True
    return (
        new.activity != old.activity
        or new.checkpoints != old.checkpoints
        or new.output != old.output
        or new.evaluation != old.evaluation
        or new.hub != old.hub
        or new.result != old.result
        or new.warnings != old.warnings
    )


def merge(before: ProgressReport, after: ProgressReport) -> ProgressReport:
    """`after`, with what it leaves out taken from `before`: a report says what changed, not all there is."""
    update: dict[str, object] = {}
    if before.finetune is not None:
        if after.finetune is None:
            update["finetune"] = before.finetune
        else:
            said = {
                name: value
                for name in after.finetune.model_fields_set
                if (value := getattr(after.finetune, name)) is not None
            }
            update["finetune"] = before.finetune.model_copy(update=said)
    metrics = {metric.name: metric for metric in before.trainer_status.metrics}
    for metric in after.trainer_status.metrics:
        metrics.pop(metric.name, None)
        metrics[metric.name] = metric
    update["trainer_status"] = after.trainer_status.model_copy(
        update={"metrics": list(metrics.values())[-METRICS_KEPT:]}
    )
    return after.model_copy(update=update)
