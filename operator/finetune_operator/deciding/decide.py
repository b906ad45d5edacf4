"""The operator's mind: from what is, to what to do.

A job is before its first attempt, in an attempt, between two attempts, or at its end; a function here or in
`starting` and `running` stands for each. The policies that they ask have files of their own. Nothing here
calls, waits or looks at a clock: the same arguments give the same plan, and a plan that was carried out by
half, or whose status was never written, is found again from what is observed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from finetune_api import (
    AttemptStatus,
    FineTuneJob,
    FineTuneJobStatus,
    Phase,
    Reason,
)
from finetune_api.validation import errors_in
from finetune_operator.deciding import cleanup, overdue, progress, refusal, restarts, running, suspension
from finetune_operator.deciding.conditions import Situation, State, progressing
from finetune_operator.deciding.estimation import estimated
from finetune_operator.deciding.planning import Decision, final_status
from finetune_operator.deciding.revision import revised
from finetune_operator.deciding.scene import Scene
from finetune_operator.deciding.starting import begin
from finetune_operator.deciding.story import story
from finetune_operator.hardware import findings
from finetune_operator.observation import Observed
from finetune_operator.plan import Plan
from finetune_operator.rendering.config import RenderConfig


def decide(
    job: FineTuneJob, status: FineTuneJobStatus, observed: Observed, now: datetime, config: RenderConfig
) -> Plan:
    """What to do now for `job`, of which `status` is stored. Pure: the same arguments give the same plan."""
    if job.metadata.deletion_timestamp is not None:
        return Plan(status=status)  # ownerReferences see to the children
    scene = Scene(job, status, observed, now.astimezone(UTC).replace(microsecond=0), config)
    decision = overdue.told(scene, _decision(scene))
    after = final_status(status, decision, job.metadata.generation, scene.now)
    return Plan(
        status=after,
        apply=decision.apply,
        delete=decision.delete,
        events=story(job, status, after),
        requeue_after=decision.requeue_after,
    )


def _decision(scene: Scene) -> Decision:
    status = scene.status
    if refusal.has_ended(status):
        return _after_the_end(scene, status)
    status = _with_preset(scene, status)
    if scene.newest_attempt == 0:
        return _before_the_start(scene, status)
    status = running.caught_up(scene, status)
    record = _newest(status)
    if record.outcome != "Running":
        return _between(scene, status, record)
    step = running.step(scene, status, record)
    if isinstance(step, Decision):
        return step
    status = running.closed(scene, status, record, step)
    decision = _between(scene, status, _newest(status), just_ended=True)
    if scene.child(record.number) is None:
        # Nothing else will remind us of what belonged to the attempt.
        decision = replace(decision, delete=cleanup.attempt_refs(scene.job, record.number))
    return decision


def _with_preset(scene: Scene, status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status with the preset that the job starts from; once it has started, that does not change."""
    preset = scene.observed.preset
    if preset is None or (status.preset is not None and refusal.has_started(status)):
        return status
    return revised(status, preset=preset.status)


def _before_the_start(scene: Scene, status: FineTuneJobStatus) -> Decision:
    if scene.job.spec.cancel:
        return _cancelled(scene, status, scene.now)
    # What was invalid with a preset may be valid now: the preset can change while the job does not. What no
    # node could hold is not rejected for good either: nodes come and go.
    if scene.observed.preset is None and refusal.is_rejected(status, scene.job.metadata.generation):
        return Decision(status)
    errors = errors_in(findings(scene.job, scene.config.hardware))
    if errors:
        return refusal.refusal(status, errors)
    status = revised(status, estimate=estimated(scene.job, scene.config.hardware))
    if scene.job.spec.suspend:
        message = "Nothing has started: spec.suspend is true. The job starts when it is false."
        return Decision(status, Situation(State.SUSPENDED, Reason.SUSPENDED, message), Phase.SUSPENDED)
    return begin(scene, status, 1)


def _between(
    scene: Scene, status: FineTuneJobStatus, last: AttemptStatus, *, just_ended: bool = False
) -> Decision:
    """What follows an attempt. Its end is written down before another begins, in a later plan."""
    if last.outcome == "Succeeded":
        return _succeeded(scene, status, last)
    if scene.job.spec.cancel:
        return _cancelled(scene, status, last.end_time or scene.now)
    job = scene.job
    following = restarts.after_attempt(status.attempts, status.retries, job.spec.failure_policy)
    if isinstance(following, restarts.GiveUp):
        return _failed(scene, status, last, following.reason, following.message)
    remaining = suspension.remaining_seconds(job, status)
    if remaining is not None and remaining <= 0:
        message = suspension.deadline_message(job)
        return _failed(scene, status, last, Reason.DEADLINE_EXCEEDED, message)
    if job.spec.suspend:
        at = f" at step {last.last_step}" if last.last_step is not None else ""
        message = f"Suspended{at}: no pods. spec.suspend: false goes on from the newest checkpoint."
        return Decision(status, Situation(State.SUSPENDED, Reason.SUSPENDED, message), Phase.SUSPENDED)
    wait = (following.at - scene.now).total_seconds()
    if wait <= 0 and not just_ended:
        return begin(scene, status, last.number + 1)
    return Decision(
        status,
        _retrying(job, status, last, following),
        Phase.RETRYING,
        requeue_after=max(0.0, wait),
    )


def _retrying(
    job: FineTuneJob, status: FineTuneJobStatus, last: AttemptStatus, following: restarts.TryAgain
) -> Situation:
    number = last.number + 1
    if last.outcome == "Suspended":
        return progressing(Reason.RESUMING, f"Attempt {number} goes on from the newest checkpoint.")
    wait = (following.at - last.end_time).total_seconds() if last.end_time is not None else 0
    when = f"starts {wait:.0f} s after attempt {last.number}, which ended"
    why = f"{last.reason}: {last.message or ''}".rstrip(": ")
    if last.outcome == "Failed":
        count = f"retry {status.retries + 1} of {job.spec.failure_policy.max_retries}"
        return progressing(Reason.RETRYING, f"Attempt {number} ({count}) {when}: {why}")
    return progressing(Reason.RESUMING, f"Attempt {number} (uses up no retry) {when}: {why}")


def _succeeded(scene: Scene, status: FineTuneJobStatus, last: AttemptStatus) -> Decision:
    status = revised(progress.finished(status), completion_time=last.end_time or scene.now)
    steps = status.progress.step if status.progress is not None else 0
    what = (
        f"{status.output.kind} at {status.output.path}"
        if status.output is not None
        else "the command has ended"
    )
    message = f"Trained {steps} steps: {what}." if steps else f"Done: {what}."
    if status.hub is not None and status.hub.message is not None:
        message += f" It is not on the hub: {status.hub.message}"
    return Decision(
        status,
        Situation(State.SUCCEEDED, Reason.SUCCEEDED, message),
        Phase.SUCCEEDED,
        requeue_after=_ttl(scene),
    )


def _failed(
    scene: Scene, status: FineTuneJobStatus, last: AttemptStatus, reason: Reason, message: str
) -> Decision:
    status = revised(progress.resting(status), completion_time=last.end_time or scene.now)
    return Decision(
        status,
        Situation(State.FAILED, reason, message or reason.meaning),
        Phase.FAILED,
        requeue_after=_ttl(scene),
    )


def _cancelled(scene: Scene, status: FineTuneJobStatus, ended: datetime) -> Decision:
    return Decision(
        revised(progress.resting(status), completion_time=ended),
        Situation(State.FAILED, Reason.CANCELLED, suspension.cancelled_message(status)),
        Phase.CANCELLED,
        requeue_after=_ttl(scene),
    )


def _after_the_end(scene: Scene, status: FineTuneJobStatus) -> Decision:
    """Nothing changes any more; what was left behind is cleaned up when it is due."""
    expiry = cleanup.expiry(scene.job, status)
    if expiry is not None and expiry <= scene.now:
        return Decision(status, delete=cleanup.all_refs(scene.job, scene.children))
    return Decision(
        status,
        delete=[cleanup.job_ref(child) for child in cleanup.unfinished(scene.children)],
        requeue_after=(expiry - scene.now).total_seconds() if expiry is not None and scene.children else None,
    )


def _ttl(scene: Scene) -> float | None:
    ttl = scene.job.spec.failure_policy.ttl_seconds_after_finished
    return float(ttl) if ttl is not None else None


def _newest(status: FineTuneJobStatus) -> AttemptStatus:
    return max(status.attempts, key=lambda record: record.number)
