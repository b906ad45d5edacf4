"""Policy: how an attempt ended, and why.

The evidence is what the pods left behind, what the Job controller says, and what the trainer reported. Pods
may be gone by the time we look (deleted by a user, lost with their node, or deleted by the Job controller,
which stops the other ranks when one has failed), so every source counts, and the clearest one speaks:

1. a verdict of the trainer or of the kernel (bad data, out of memory, …);
2. a disruption (eviction, preemption by the scheduler, a lost node): not the job's fault;
3. a crash (any other exit code);
4. an interruption (SIGTERM, a deleted pod);
5. a lost peer, which is only ever a consequence.

Among equals the first to end speaks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Literal

from finetune_api import ExitCode, Reason, TrainingResult
from finetune_operator.observation import ObservedJob, ObservedPod

Outcome = Literal["Succeeded", "Failed", "Preempted", "Suspended", "Cancelled", "Lost"]

# The watches on Jobs and on pods are separate streams: a finished Job may be seen before the end of its last
# pod.
EVIDENCE_DELAY = timedelta(seconds=10)

_SIGKILL_EXIT = 137
_SIGTERM_EXIT = 143
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})
_NODE_REASONS = frozenset(
    {"DeletionByTaintManager", "DeletionByPodGC", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"}
)
# The Job controller's words for a pod that matched our pod failure policy (pod_failure_policy.go).
_EXIT_CODE_IN_CONDITION = re.compile(r"failed with exit code (\d+)")
_POD_IN_CONDITION = re.compile(r"\b[Pp]od \S+/(\S+) ")


class Weight(IntEnum):
    """How much a piece of evidence tells about the cause; the least wins."""

    VERDICT = 1
    DISRUPTION = 2
    CRASH = 3
    INTERRUPTION = 4
    CONSEQUENCE = 5


_WEIGHTS = {
    Reason.PREEMPTED: Weight.DISRUPTION,
    Reason.NODE_LOST: Weight.DISRUPTION,
    Reason.TRAINER_CRASHED: Weight.CRASH,
    Reason.INTERRUPTED: Weight.INTERRUPTION,
    Reason.PEER_LOST: Weight.CONSEQUENCE,
}
_OUTCOMES: dict[Reason, Outcome] = {
    Reason.PREEMPTED: "Preempted",
    Reason.INTERRUPTED: "Preempted",
    Reason.NODE_LOST: "Lost",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One witness of a failure: a pod, the Job controller, a report, or what the status remembers of them."""

    reason: Reason
    message: str
    exit_code: int | None
    at: datetime

    @property
    def weight(self) -> Weight:
        """How clearly this names the cause."""
        return _WEIGHTS.get(self.reason, Weight.VERDICT)

    @property
    def outcome(self) -> Outcome:
        """What the attempt came to, if this was the cause."""
        return _OUTCOMES.get(self.reason, "Failed")


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an attempt. `result` is the trainer's own word, when there is one."""

    outcome: Outcome
    reason: Reason
    message: str
    ended_at: datetime
    exit_code: int | None = None
    result: TrainingResult | None = None


def ending(
    child: ObservedJob,
    pods: Sequence[ObservedPod],
    reported: TrainingResult | None,
    remembered: Evidence | None,
    *,
    own_command: bool,
    now: datetime,
) -> Ending | None:
    """How the attempt of `child` ended, or None while it is not over or not yet understood.

    `pods` are the attempt's, `reported` is the newest result that the trainer sent to the status server,
    `remembered` what `clearest` found earlier. With `own_command` the pods run a user's program, whose exit
    codes mean nothing but success and failure.
    """
    if not child.finished:
        return None
    finished_at = _finished_at(child, now)
    more_may_come = now < finished_at + EVIDENCE_DELAY
    if more_may_come and not all(pod.ended for pod in pods):
        return None
    result = final_result(pods, reported)
    if child.complete:
        if result is None and not own_command and more_may_come:
            return None
        ended_at = last_end(pods, finished_at)
        if result is not None and result.outcome != "succeeded":
            return from_evidence(_from_result(result, ended_at), result, ended_at)
        if result is None and not own_command:
            return Ending("Failed", Reason.TRAINER_CRASHED, _NO_RESULT, ended_at)
        return succeeded(result, ended_at)
    witnesses = failures(pods, reported, own_command=own_command, at=finished_at)
    if remembered is not None:
        witnesses.append(remembered)
    hearsay = _job_evidence(child, finished_at, own_command=own_command)
    first_hand = _names_one_of(child, pods) or any(w.exit_code == hearsay.exit_code for w in witnesses)
    if not witnesses or not first_hand:
        witnesses.append(hearsay)
    return from_evidence(clearest(witnesses), result, last_end(pods, finished_at))


def without_job(
    otherwise: Ending,
    pods: Sequence[ObservedPod],
    reported: TrainingResult | None,
    remembered: Evidence | None,
    *,
    own_command: bool,
) -> Ending:
    """How an attempt ended whose Job is gone, so that its controller can't say it any more.

    A success that the trainer reported counts, and so does a verdict; else the attempt ended as `otherwise`
    says.
    """
    result = final_result(pods, reported)
    ended_at = last_end(pods, otherwise.ended_at)
    if result is not None and result.outcome == "succeeded":
        return succeeded(result, ended_at)
    witnesses = failures(pods, reported, own_command=own_command, at=ended_at)
    if remembered is not None:
        witnesses.append(remembered)
    if witnesses and (cause := clearest(witnesses)).weight is Weight.VERDICT:
        return from_evidence(cause, result, ended_at)
    return replace(otherwise, ended_at=ended_at, result=result)


_NO_RESULT = (
    "All pods ended without an error, but none left a result: its termination message is gone or unreadable. "
    "The next attempt resumes from the newest checkpoint."
)


def succeeded(result: TrainingResult | None, ended_at: datetime) -> Ending:
    """The end of an attempt that did all it had to."""
    message = result.message if result is not None else ""
    return Ending("Succeeded", Reason.SUCCEEDED, message, ended_at, exit_code=0, result=result)


def from_evidence(cause: Evidence, result: TrainingResult | None, ended_at: datetime) -> Ending:
    """The end of an attempt for this cause."""
    return Ending(cause.outcome, cause.reason, cause.message, ended_at, cause.exit_code, result)


def failures(
    pods: Sequence[ObservedPod], reported: TrainingResult | None, *, own_command: bool, at: datetime
) -> list[Evidence]:
    """What each failed pod says, and what was reported. `at` stands in for times that are not known.

    Worth remembering while the Job is not over: a pod can be gone by then.
    """
    found = [evidence for pod in pods if (evidence := _pod_evidence(pod, own_command, at)) is not None]
    if reported is not None and reported.outcome != "succeeded":
        found.append(_from_result(reported, at))
    return found


def clearest(witnesses: Sequence[Evidence]) -> Evidence:
    """The witness that names the cause best; the earliest of equals. There must be one."""
    return min(witnesses, key=lambda evidence: (evidence.weight, evidence.at))


def final_result(pods: Sequence[ObservedPod], reported: TrainingResult | None) -> TrainingResult | None:
    """The attempt's result: node 0 writes the full one; then what was reported; then any other node's."""
    results = {
        pod.index: result
        for pod in pods
        if (result := TrainingResult.from_termination_message(pod.termination_message)) is not None
    }
    return results.get(0) or reported or next(iter(results.values()), None)


def last_end(pods: Sequence[ObservedPod], default: datetime) -> datetime:
    """When the last of these pods ended; `default` where no pod tells."""
    return max((pod.finished_at for pod in pods if pod.finished_at is not None), default=default)


def _pod_evidence(pod: ObservedPod, own_command: bool, default_time: datetime) -> Evidence | None:
    if pod.phase == "Succeeded" or pod.exit_code == 0:
        return None
    at = pod.finished_at or default_time
    if pod.exit_code is None and pod.phase != "Failed":
        return _going(pod, at) if pod.disruption and pod.deleting else None
    own_fault = _over_its_own_limit(pod, at) if pod.reason == "Evicted" and not pod.disruption else None
    if pod.exit_code is None:
        return own_fault or _disruption(pod, at)
    if pod.oom_killed:
        return Evidence(
            Reason.OUT_OF_MEMORY,
            f"The kernel killed the trainer in pod {pod.name}: it needed more memory than its limit. Raise "
            "resources.memory, or lower training.microBatchSize or training.maxSequenceLength.",
            pod.exit_code,
            at,
        )
    result = TrainingResult.from_termination_message(pod.termination_message)
    if result is not None and result.outcome != "succeeded":
        evidence = _from_result(result, at)
    else:
        evidence = own_fault or _from_exit_code(pod, pod.exit_code, own_command, at)
    if pod.disruption and evidence.weight is not Weight.VERDICT:
        return _disruption(pod, at)
    return evidence


def _from_exit_code(pod: ObservedPod, code: int, own_command: bool, at: datetime) -> Evidence:
    if pod.exit_reason in _START_FAILURES:
        return Evidence(
            Reason.INVALID_CONFIG if own_command else Reason.TRAINER_CRASHED,
            f"The container of pod {pod.name} could not be started: "
            f"{pod.termination_message or pod.exit_reason}",
            code,
            at,
        )
    reason = _reason_of_exit(code, own_command=own_command, deleting=pod.deleting)
    if reason is Reason.INTERRUPTED:
        return Evidence(reason, f"Pod {pod.name} was told to stop (exit code {code}).", code, at)
    message = f"Pod {pod.name} ended with exit code {code}; see `kubectl logs {pod.name}`."
    return Evidence(reason, message, code, at)


def _reason_of_exit(code: int, *, own_command: bool, deleting: bool) -> Reason:
    if code == _SIGTERM_EXIT or (code == _SIGKILL_EXIT and deleting):
        return Reason.INTERRUPTED
    known = next((exit_code for exit_code in ExitCode if exit_code == code), ExitCode.CRASHED)
    return Reason.TRAINER_CRASHED if own_command else known.reason


def _over_its_own_limit(pod: ObservedPod, at: datetime) -> Evidence:
    """kubelet marks a pod as disrupted that it evicts for the node's sake, and not one that had more files
    than it may have (eviction_manager.go, localStorageEviction)."""
    message = (
        f"Pod {pod.name} was evicted: {pod.message.rstrip('. ')}. Set model.cache, so that downloads do not "
        "fill the pod's own disk, or have the limit raised."
    )
    return Evidence(Reason.STORAGE_ERROR, message, pod.exit_code, at)


def _going(pod: ObservedPod, at: datetime) -> Evidence:
    """A pod that is taken away and has not ended; on a node that does not answer, it never will by itself."""
    disruption = _disruption(pod, at)
    if disruption.reason is not Reason.NODE_LOST:
        return disruption
    remedy = "It ends when the node is back, or its Node object is deleted."
    return replace(disruption, message=f"{disruption.message}. {remedy}")


def _disruption(pod: ObservedPod, at: datetime) -> Evidence:
    why = pod.disruption or pod.reason or "an unknown cause"
    node = f" on node {pod.node}" if pod.node else ""
    detail = f": {pod.message}" if pod.message else ""
    reason = Reason.NODE_LOST if {why, pod.reason} & _NODE_REASONS else Reason.PREEMPTED
    return Evidence(reason, f"Pod {pod.name}{node} was ended by {why}{detail}", pod.exit_code, at)


def _job_evidence(child: ObservedJob, at: datetime, *, own_command: bool) -> Evidence:
    """What the Job controller's Failed condition says, for when the pods are gone.

    `BackoffLimitExceeded` means that a pod failed without an exit code of the trainer: our pod failure policy
    would have caught any other.
    """
    failure = child.failure
    kind, text = (failure.reason, failure.message) if failure is not None else ("", "")
    message = f"Job {child.name} failed: {kind}: {text}"
    found = _EXIT_CODE_IN_CONDITION.search(text)
    if found:
        code = int(found.group(1))
        return Evidence(_reason_of_exit(code, own_command=own_command, deleting=False), message, code, at)
    disrupted = kind == "BackoffLimitExceeded" or "DisruptionTarget" in text
    return Evidence(Reason.PREEMPTED if disrupted else Reason.TRAINER_CRASHED, message, None, at)


def _names_one_of(child: ObservedJob, pods: Sequence[ObservedPod]) -> bool:
    """Whether the pod that the Job controller blames can speak for itself."""
    found = _POD_IN_CONDITION.search(child.failure.message) if child.failure is not None else None
    return found is not None and any(pod.ended and pod.name == found.group(1) for pod in pods)


def _from_result(result: TrainingResult, at: datetime) -> Evidence:
    reason = Reason.INTERRUPTED if result.outcome == "interrupted" else result.reason
    return Evidence(reason, result.message, result.exit_code, at)


def _finished_at(child: ObservedJob, now: datetime) -> datetime:
    failure = child.failure
    return child.completed_at or (failure.changed_at if failure is not None else None) or now
