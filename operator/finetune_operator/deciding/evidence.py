"""What the witnesses of a failure say: the pods, the Job controller, and the trainer's own result.

Pods may be gone by the time we look (deleted by a user, lost with their node, or deleted by the Job
controller, which stops the other ranks when one has failed), so every source counts, and the clearest one
speaks:

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
from datetime import datetime
from enum import IntEnum
from typing import Literal

from finetune_api import ExitCode, Reason, TrainingResult
from finetune_operator.observation import ObservedJob, ObservedPod

Outcome = Literal["Succeeded", "Failed", "Preempted", "Suspended", "Cancelled", "Lost"]

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


def failures(
    pods: Sequence[ObservedPod], reported: TrainingResult | None, *, own_command: bool, at: datetime
) -> list[Evidence]:
    """What each failed pod says, and what was reported. `at` stands in for times that are not known.

    Worth remembering while the Job is not over: a pod can be gone by then.
    """
    found = [evidence for pod in pods if (evidence := _pod_evidence(pod, own_command, at)) is not None]
    if reported is not None and reported.outcome != "succeeded":
        found.append(from_result(reported, at))
    return found


def clearest(witnesses: Sequence[Evidence]) -> Evidence:
    """The witness that names the cause best; the earliest of equals. There must be one."""
    return min(witnesses, key=lambda evidence: (evidence.weight, evidence.at))


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
        evidence = from_result(result, at)
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
    why = pod.disruption or pod.reason or ("its deletion" if pod.deleting else "an unknown cause")
    node = f" on node {pod.node}" if pod.node else ""
    detail = f": {pod.message}" if pod.message else ""
    reason = Reason.NODE_LOST if {why, pod.reason} & _NODE_REASONS else Reason.PREEMPTED
    return Evidence(reason, f"Pod {pod.name}{node} was ended by {why}{detail}", pod.exit_code, at)


def job_evidence(child: ObservedJob, at: datetime, *, own_command: bool) -> Evidence:
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


def names_one_of(child: ObservedJob, pods: Sequence[ObservedPod]) -> bool:
    """Whether the pod that the Job controller blames can speak for itself."""
    found = _POD_IN_CONDITION.search(child.failure.message) if child.failure is not None else None
    return found is not None and any(pod.ended and pod.name == found.group(1) for pod in pods)


def from_result(result: TrainingResult, at: datetime) -> Evidence:
    """What the trainer's own result says, where that is no success."""
    reason = Reason.INTERRUPTED if result.outcome == "interrupted" else result.reason
    return Evidence(reason, result.message, result.exit_code, at)
