"""What the operator sees of one FineTuneJob's children, as plain typed values.

The raw objects of the Kubernetes API enter here, through the `from_kubernetes` constructors, and nowhere
else: what decides works on these dataclasses. Fields that Kubernetes may leave out are None, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from finetune_operator import labels

if TYPE_CHECKING:
    from finetune_api import ProgressReport
    from finetune_api.resolved import AppliedPreset
    from finetune_operator.obstacles import Complaint, Conflict, Refusal, Rival

KubernetesObject = Mapping[str, Any]

# The container that trains; a pod may carry others (a mesh's sidecar), whose state says nothing about
# training.
TRAINER_CONTAINER = "trainer"

CLOCKS_DIFFER = timedelta(minutes=1)
"""So far may the clocks of well-kept nodes be apart."""


@dataclass(frozen=True, slots=True)
class JobCondition:
    """One condition of a batch/v1 Job."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """A batch/v1 Job that carries the labels of one of our attempts.

    `owner_uid` is the UID of its controller, which need not be ours: a FineTuneJob that was deleted and
    created again under the same name finds the children of its predecessor.
    """

    name: str
    attempt: int
    uid: str
    owner_uid: str | None = None
    created_at: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: tuple[JobCondition, ...] = ()
    suspended: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deleting: bool = False

    @classmethod
    def from_kubernetes(cls, body: KubernetesObject) -> ObservedJob | None:
        """The Job in `body`, or None when it bears no attempt number and so is none of ours."""
        metadata = body.get("metadata") or {}
        attempt = _attempt(metadata)
        if attempt is None:
            return None
        status = body.get("status") or {}
        return cls(
            name=metadata["name"],
            attempt=attempt,
            uid=metadata.get("uid", ""),
            owner_uid=_controller_uid(metadata),
            created_at=_time(metadata.get("creationTimestamp")),
            active=status.get("active") or 0,
            succeeded=status.get("succeeded") or 0,
            failed=status.get("failed") or 0,
            conditions=tuple(
                JobCondition(
                    type=condition["type"],
                    status=condition["status"],
                    reason=condition.get("reason") or "",
                    message=condition.get("message") or "",
                    changed_at=_time(condition.get("lastTransitionTime")),
                )
                for condition in status.get("conditions") or ()
            ),
            suspended=bool((body.get("spec") or {}).get("suspend")),
            started_at=_time(status.get("startTime")),
            completed_at=_time(status.get("completionTime")),
            deleting=metadata.get("deletionTimestamp") is not None,
        )

    def condition(self, type_: str) -> JobCondition | None:
        """The condition of this type when it is True."""
        return next((c for c in self.conditions if c.type == type_ and c.status == "True"), None)

    @property
    def complete(self) -> bool:
        """All pods ended well, says the Job controller."""
        return self.condition("Complete") is not None

    @property
    def failure(self) -> JobCondition | None:
        """Why the Job controller gave the Job up, once all of its pods have ended."""
        return self.condition("Failed")

    @property
    def finished(self) -> bool:
        """The Job controller will start no more pods, and none runs."""
        return self.complete or self.failure is not None


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A pod of one of our attempts; container facts are those of the container `trainer`.

    `disruption` is the reason of the pod's DisruptionTarget condition (EvictionByEvictionAPI,
    PreemptionByScheduler, DeletionByTaintManager, DeletionByPodGC, TerminationByKubelet), `reason` and
    `message` are the pod's own (Evicted, NodeLost, Terminated, UnexpectedAdmissionError, …).
    """

    name: str
    attempt: int
    index: int = 0
    job_uid: str | None = None
    owner_uid: str | None = None
    phase: str = "Pending"
    node: str | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    exit_reason: str = ""
    termination_message: str = ""
    scheduled_at: datetime | None = None
    reason: str = ""
    message: str = ""
    disruption: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_reason: str | None = None
    waiting_message: str = ""
    unschedulable_message: str | None = None
    scheduling_gated: bool = False
    ready: bool = False
    deleting: bool = False
    gone_by: datetime | None = None
    """When the grace of a pod that is being deleted is over, by the API server's clock."""

    @classmethod
    def from_kubernetes(cls, body: KubernetesObject) -> ObservedPod | None:
        """The pod in `body`, or None when it bears no attempt number and so is none of ours."""
        metadata = body.get("metadata") or {}
        attempt = _attempt(metadata)
        if attempt is None:
            return None
        status = body.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled", {})
        has_node = scheduled.get("status") == "True"
        unscheduled = scheduled.get("status") == "False"
        container: Mapping[str, Any] = next(
            (c for c in status.get("containerStatuses") or () if c.get("name") == TRAINER_CONTAINER), {}
        )
        state = container.get("state") or {}
        terminated = state.get("terminated") or {}
        waiting = state.get("waiting") or {}
        running = state.get("running") or {}
        pod_labels = metadata.get("labels") or {}
        return cls(
            name=metadata["name"],
            attempt=attempt,
            index=_completion_index(metadata),
            job_uid=_controller_uid(metadata),
            owner_uid=pod_labels.get(labels.JOB_UID),
            phase=status.get("phase") or "Pending",
            node=(body.get("spec") or {}).get("nodeName"),
            exit_code=terminated.get("exitCode"),
            oom_killed=terminated.get("reason") == "OOMKilled",
            exit_reason=terminated.get("reason") or "",
            termination_message=terminated.get("message") or "",
            scheduled_at=_time(scheduled.get("lastTransitionTime")) if has_node else None,
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            disruption=_true_reason(conditions.get("DisruptionTarget")),
            started_at=_time(terminated.get("startedAt") or running.get("startedAt")),
            finished_at=_time(terminated.get("finishedAt")),
            waiting_reason=waiting.get("reason"),
            waiting_message=waiting.get("message") or "",
            unschedulable_message=(
                scheduled.get("message") or ""
                if unscheduled and scheduled.get("reason") == "Unschedulable"
                else None
            ),
            scheduling_gated=unscheduled and scheduled.get("reason") == "SchedulingGated",
            ready=(conditions.get("Ready") or {}).get("status") == "True",
            deleting=metadata.get("deletionTimestamp") is not None,
            gone_by=_time(metadata.get("deletionTimestamp")),
        )

    def running_since(self, now: datetime) -> datetime | None:
        """When the trainer started, and when the pod got its node where that can't be.

        `started_at` is from the clock of the pod's node, which may be off by hours, the rest is not.
        """
        if self.started_at is None or self.scheduled_at is None:
            return self.started_at
        possible = self.scheduled_at - CLOCKS_DIFFER <= self.started_at <= now + CLOCKS_DIFFER
        return self.started_at if possible else self.scheduled_at

    @property
    def ended(self) -> bool:
        """No container of the pod runs, and none will."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def orphaned(self) -> bool:
        """Nobody will end the pod: its Job was deleted without it."""
        return self.job_uid is None and not self.deleting and not self.ended

    @property
    def running(self) -> bool:
        """The trainer's process is there."""
        return self.phase == "Running" and self.exit_code is None and self.started_at is not None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that `decide` may know about the world outside one FineTuneJob's own object.

    `reports` holds the newest progress report of each attempt; it may be empty after a restart of the
    operator. `conflicts` and `refusals` come from carrying out an earlier plan of the same reconciliation:
    the shell decides again with them before it writes the status, and with a `rival` before it creates
    anything. `preset` is what the job's spec was completed from, where it names one. `complaints` are what
    events say of an attempt that does not begin.
    """

    jobs: tuple[ObservedJob, ...] = ()
    pods: tuple[ObservedPod, ...] = ()
    reports: Mapping[int, ProgressReport] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    preset: AppliedPreset | None = None
    complaints: tuple[Complaint, ...] = ()
    rival: Rival | None = None

    @classmethod
    def from_kubernetes(
        cls,
        jobs: Iterable[KubernetesObject] = (),
        pods: Iterable[KubernetesObject] = (),
        reports: Mapping[int, ProgressReport] | None = None,
        conflicts: Iterable[Conflict] = (),
        refusals: Iterable[Refusal] = (),
    ) -> Observed:
        """An observation from raw objects, ordered so that equal sets of objects give equal observations."""
        seen_jobs = [job for job in map(ObservedJob.from_kubernetes, jobs) if job is not None]
        seen_pods = [pod for pod in map(ObservedPod.from_kubernetes, pods) if pod is not None]
        return cls(
            jobs=tuple(sorted(seen_jobs, key=lambda job: (job.attempt, job.name))),
            pods=tuple(sorted(seen_pods, key=lambda pod: (pod.attempt, pod.index, pod.name))),
            reports=dict(reports or {}),
            conflicts=tuple(conflicts),
            refusals=tuple(refusals),
        )


def _attempt(metadata: Mapping[str, Any]) -> int | None:
    text = str((metadata.get("labels") or {}).get(labels.ATTEMPT, ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _completion_index(metadata: Mapping[str, Any]) -> int:
    for source in ("annotations", "labels"):
        text = str((metadata.get(source) or {}).get(labels.COMPLETION_INDEX, ""))
        if text.isascii() and text.isdigit():
            return int(text)
    return 0


def _controller_uid(metadata: Mapping[str, Any]) -> str | None:
    owners = metadata.get("ownerReferences") or ()
    return next((owner.get("uid") for owner in owners if owner.get("controller")), None)


def _true_reason(condition: Mapping[str, Any] | None) -> str | None:
    if not condition or condition.get("status") != "True":
        return None
    return condition.get("reason") or "Unknown"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
