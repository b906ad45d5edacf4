"""Policy: what a report of the trainer changes in the status.

Only the newest attempt counts. Within it nothing goes back: a report that knows fewer steps than the status
shows, or as many and was sent earlier, is left out. A result (also the one in a termination message) is
the last word. Reports come from our trainer, or from any program built on transformers, which sends Kubeflow
Trainer's part only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from finetune_api import AttemptStatus, FineTuneJobStatus, FineTuneReport, ProgressReport, TrainingResult
from finetune_api.protocol import TrainerStatus
from finetune_api.status import Activity, CheckpointsStatus, ProgressStatus
from finetune_operator.deciding.attempts import with_record
from finetune_operator.deciding.revision import revised

_MAX_METRICS = 32
_MAX_NAME = 64
_MAX_VALUE = 64

# What transformers' own callback sends among the metrics, though it is progress.
_STEP = "current_step"
_TOTAL_STEPS = "total_steps"
_EPOCH = "current_epoch"
_NOT_METRICS = frozenset({_STEP, _TOTAL_STEPS, _EPOCH, "epoch"})

_BEFORE_TRAINING: frozenset[Activity] = frozenset({"starting", "loading", "tokenizing"})


def reported(
    status: FineTuneJobStatus, record: AttemptStatus, report: ProgressReport
) -> tuple[FineTuneJobStatus, AttemptStatus]:
    """The status and the running attempt's record after `report`; unchanged if it is an old one."""
    ours = report.finetune or _from_kubeflow(report.trainer_status)
    sent_at = ours.sent_at or report.trainer_status.last_updated_time
    if _outdated(status, record, ours.step, sent_at):
        return status, record
    progress = _progress(status.progress or ProgressStatus(), ours, report.trainer_status)
    metrics = _metrics({metric.name: metric.value for metric in report.trainer_status.metrics})
    resumed = ours.resumed_step if ours.resumed_step is not None else record.resumed_step
    record = revised(
        record, last_step=ours.step, resumed_step=resumed, warnings=ours.warnings or record.warnings
    )
    changed = revised(
        status,
        progress=progress,
        metrics=_merged(status.metrics, metrics),
        checkpoints=_checkpoints(status.checkpoints, ours.checkpoints),
        output=ours.output or status.output,
        hub=ours.hub or status.hub,
        evaluation=ours.evaluation or status.evaluation,
        effective=ours.effective or status.effective,
    )
    changed = with_record(changed, record)
    if changed == with_record(status, record) or sent_at is None:
        return changed, record
    return revised(changed, progress=revised(progress, updated_time=sent_at)), record


def concluded(status: FineTuneJobStatus, result: TrainingResult) -> FineTuneJobStatus:
    """The status after the trainer's last word on its attempt."""
    before = status.progress or ProgressStatus()
    total = result.total_steps if result.total_steps is not None else before.total_steps
    step = result.step or before.step
    done = result.outcome == "succeeded"
    return revised(
        status,
        progress=revised(
            before,
            step=step,
            total_steps=total,
            percent=100 if done else _percent(step, total, before.percent),
            remaining_seconds=0 if done else before.remaining_seconds,
            remaining="0s" if done else before.remaining,
            activity=None,
        ),
        metrics=_merged(status.metrics, _metrics(result.metrics)),
        checkpoints=_checkpoints(status.checkpoints, result.checkpoints),
        output=result.output or status.output,
        hub=result.hub or status.hub,
        evaluation=result.evaluation or status.evaluation,
    )


def finished(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status of a job that has succeeded without saying how far it came: a user's own program."""
    before = status.progress or ProgressStatus()
    return revised(
        status, progress=revised(before, percent=100, remaining_seconds=0, remaining="0s", activity=None)
    )


def resting(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status while no rank runs: how far the run is stays, what it does and how long it takes goes."""
    if status.progress is None:
        return status
    return revised(
        status, progress=revised(status.progress, activity=None, remaining_seconds=None, remaining=None)
    )


def is_training(status: FineTuneJobStatus) -> bool:
    """Whether the ranks were past loading when they last reported."""
    activity = status.progress.activity if status.progress else None
    return activity is not None and activity not in _BEFORE_TRAINING


def duration(seconds: int) -> str:
    """Seconds for people, in the two largest units: 45s, 12m5s, 1h20m, 3d4h."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour}h"
    if hours:
        return f"{hours}h{minute}m"
    return f"{minutes}m{second}s" if minutes else f"{second}s"


def _outdated(status: FineTuneJobStatus, record: AttemptStatus, step: int, sent_at: datetime | None) -> bool:
    if record.last_step is None:
        return False  # the attempt's first report; the clock of an earlier attempt's node may be ahead
    if step != record.last_step:
        return step < record.last_step  # whatever its clock says, which may have been set back meanwhile
    shown = status.progress.updated_time if status.progress else None
    # The status holds whole seconds: a report from within the same second is not an older one.
    return shown is not None and sent_at is not None and sent_at.replace(microsecond=0) < shown


def _progress(before: ProgressStatus, ours: FineTuneReport, theirs: TrainerStatus) -> ProgressStatus:
    total = ours.total_steps if ours.total_steps is not None else before.total_steps
    step = ours.step
    if step == 0 and ours.activity in _BEFORE_TRAINING:
        # Nothing is undone yet: an attempt that resumes has not read its checkpoint.
        step = ours.resumed_step if ours.resumed_step is not None else before.step
    remaining = theirs.estimated_remaining_seconds
    return revised(
        before,
        step=step,
        total_steps=total,
        epoch=f"{ours.epoch:.2f}" if ours.epoch is not None else before.epoch,
        percent=_percent(step, total, theirs.progress_percentage or 0),
        tokens=ours.tokens if ours.tokens is not None else before.tokens,
        remaining_seconds=remaining,
        remaining=duration(remaining) if remaining is not None else None,
        activity=ours.activity or before.activity,
    )


def _percent(step: int, total: int | None, otherwise: int) -> int:
    return min(100, 100 * step // total) if total else otherwise


def _from_kubeflow(theirs: TrainerStatus) -> FineTuneReport:
    values = {metric.name: metric.value for metric in theirs.metrics}
    epoch = _number(values.get(_EPOCH))
    total = _number(values.get(_TOTAL_STEPS))
    return FineTuneReport(
        step=int(_number(values.get(_STEP)) or 0),
        total_steps=int(total) if total is not None else None,
        epoch=epoch,
        activity="training",
        sent_at=theirs.last_updated_time,
    )


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\d{1,15}(\.\d+)?", text):
        return None
    return float(text)


def _metrics(values: Mapping[str, str]) -> dict[str, str]:
    """Metrics under our names: transformers writes `grad_norm` where the status says `gradNorm`."""
    return {
        name: value
        for original, value in values.items()
        if original not in _NOT_METRICS
        and len(name := _camel_case(original)) <= _MAX_NAME
        and len(value) <= _MAX_VALUE
    }


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


def _merged(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Latest values in the order of their names; where there are too many, those of now come first."""
    chosen = list(({**now, **before}).items())[:_MAX_METRICS]
    return dict(sorted((name, now.get(name, value)) for name, value in chosen))


def _checkpoints(before: CheckpointsStatus | None, now: CheckpointsStatus | None) -> CheckpointsStatus | None:
    if before is None or now is None:
        return now or before
    return revised(before, latest=now.latest or before.latest, best=now.best or before.best)
