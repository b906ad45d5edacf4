"""Scenes for the operator's pure core: jobs, children, pods, reports in a few words, and a clock at rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_api import FineTuneJob, FineTuneJobStatus, ProgressReport, TrainingResult, parse_job
from finetune_api.conditions import Reason
from finetune_operator.deciding.decide import decide
from finetune_operator.observation import (
    JobCondition,
    Observed,
    ObservedJob,
    ObservedPod,
)
from finetune_operator.obstacles import Conflict, Refusal
from finetune_operator.plan import Plan
from finetune_operator.rendering import RenderConfig

EPOCH = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UID = "3f0c"
CONFIG = RenderConfig(
    trainer_image="example.invalid/trainer:1",
    status_url="https://status.finetune-system.svc:8443",
    ca_pem="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
)

Spec = Mapping[str, Any]


def at(seconds: float) -> datetime:
    """So many seconds into the scene."""
    return EPOCH + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    """The same moment as Kubernetes writes it."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_job(spec: Spec | None = None, *, name: str = "tune", generation: int = 1) -> FineTuneJob:
    """A valid job, with the sections of `spec` laid over it."""
    base: dict[str, Any] = {
        "model": {"path": "/models/base"},
        "dataset": {"train": {"path": "/data/train.jsonl"}},
    }
    metadata = {"name": name, "namespace": "team", "uid": UID, "generation": generation}
    return parse_job(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": metadata,
            "spec": {**base, **(spec or {})},
        }
    )


def child(attempt: int = 1, **facts: Any) -> ObservedJob:
    """The Job of an attempt, running."""
    known = {"uid": f"job-{attempt}", "owner_uid": UID, "created_at": at(0), "active": 1, **facts}
    return ObservedJob(name=f"tune-{attempt}", attempt=attempt, **known)


def complete(attempt: int = 1, seconds: float = 100) -> ObservedJob:
    """The Job of an attempt whose pods have all succeeded."""
    condition = JobCondition("Complete", "True", changed_at=at(seconds))
    return child(attempt, active=0, succeeded=1, conditions=(condition,), completed_at=at(seconds))


def failed(
    attempt: int = 1,
    seconds: float = 100,
    reason: str = "PodFailurePolicy",
    message: str = "Container trainer for pod team/tune-1-0-x failed with exit code 1 matching FailJob rule",
    deleting: bool = False,
) -> ObservedJob:
    """The Job of an attempt that its controller has given up."""
    condition = JobCondition("Failed", "True", reason, message, at(seconds))
    return child(attempt, active=0, failed=1, conditions=(condition,), deleting=deleting)


def pod(attempt: int = 1, index: int = 0, **facts: Any) -> ObservedPod:
    """A pod that trains."""
    known = {"phase": "Running", "node": "node-1", "started_at": at(10), "ready": True, **facts}
    return ObservedPod(
        name=f"tune-{attempt}-{index}-x",
        attempt=attempt,
        index=index,
        job_uid=f"job-{attempt}",
        owner_uid=UID,
        **known,
    )


def ended_pod(
    exit_code: int, attempt: int = 1, index: int = 0, seconds: float = 100, **facts: Any
) -> ObservedPod:
    """A pod whose trainer has ended."""
    phase = "Succeeded" if exit_code == 0 else "Failed"
    known = {"phase": phase, "exit_code": exit_code, "finished_at": at(seconds), "ready": False, **facts}
    return pod(attempt, index, **known)


def result(
    outcome: str = "succeeded",
    reason: Reason = Reason.SUCCEEDED,
    exit_code: int = 0,
    message: str = "",
    **facts: Any,
) -> TrainingResult:
    """The trainer's last word."""
    return TrainingResult(outcome=outcome, reason=reason, exit_code=exit_code, message=message, **facts)


def report(
    step: int, seconds: float, *, metrics: Mapping[str, str] | None = None, **ours: Any
) -> ProgressReport:
    """A report of our trainer."""
    return ProgressReport.from_json_object(
        {
            "trainerStatus": {
                "estimatedRemainingSeconds": 60,
                "metrics": [{"name": name, "value": value} for name, value in (metrics or {}).items()],
                "lastUpdatedTime": stamp(seconds),
            },
            "finetune": {
                "step": step,
                "totalSteps": 200,
                "activity": "training",
                "sentAt": stamp(seconds),
                **ours,
            },
        }
    )


def checkpoint(step: int, seconds: float) -> dict[str, Any]:
    """A checkpoint as a report tells of it."""
    return {
        "latest": {
            "step": step,
            "path": f"tune/checkpoints/step-{step:08d}",
            "complete": True,
            "time": stamp(seconds),
        }
    }


@dataclass
class Operator:
    """Decides again and again for one job; each plan's status becomes the job's."""

    job: FineTuneJob = field(default_factory=make_job)
    status: FineTuneJobStatus = field(default_factory=FineTuneJobStatus)
    """What stands in the job's status now."""
    plans: list[Plan] = field(default_factory=list)
    config: RenderConfig = CONFIG

    def see(
        self,
        seconds: float,
        jobs: Iterable[ObservedJob] = (),
        pods: Iterable[ObservedPod] = (),
        reports: Mapping[int, ProgressReport] | None = None,
        conflicts: Iterable[Conflict] = (),
        refusals: Iterable[Refusal] = (),
    ) -> Plan:
        """Decide on this observation, and store the status."""
        observed = Observed(tuple(jobs), tuple(pods), dict(reports or {}), tuple(conflicts), tuple(refusals))
        plan = decide(self.job, self.status, observed, at(seconds), self.config)
        self.plans.append(plan)
        self.status = plan.status
        return plan

    def edit(self, **spec: Any) -> None:
        """The user changes these fields of the spec."""
        metadata = self.job.metadata.model_copy(update={"generation": self.job.metadata.generation + 1})
        changed = self.job.spec.model_copy(update=spec)
        self.job = self.job.model_copy(update={"spec": changed, "metadata": metadata})

    def restart(self) -> None:
        """Read the job back from JSON, as after a restart."""
        self.job = FineTuneJob.from_json_object(self.job.to_json_object())
        self.status = FineTuneJobStatus.from_json_object(self.status.to_json_object())

    @property
    def story(self) -> list[str]:
        """The reasons of all events so far."""
        return [event.reason for plan in self.plans for event in plan.events]

    def holds(self, condition: str) -> bool:
        """Whether a condition is True."""
        found = self.status.condition(condition)
        return found is not None and found.status == "True"

    def reason(self, condition: str) -> str:
        """The reason of a condition, empty if it is not there."""
        found = self.status.condition(condition)
        return found.reason if found is not None else ""

    def message(self, condition: str) -> str:
        """The message of a condition, empty if it is not there."""
        found = self.status.condition(condition)
        return found.message if found is not None else ""


def created_jobs(plan: Plan) -> list[str]:
    """Names of the Jobs that a plan creates."""
    return [manifest["metadata"]["name"] for manifest in plan.apply if manifest["kind"] == "Job"]


def deleted(plan: Plan) -> list[str]:
    """What a plan deletes, as Kind/name."""
    return [f"{ref.kind}/{ref.name}" for ref in plan.delete]


__all__ = [
    "CONFIG",
    "EPOCH",
    "UID",
    "Operator",
    "at",
    "checkpoint",
    "child",
    "complete",
    "created_jobs",
    "deleted",
    "ended_pod",
    "failed",
    "make_job",
    "pod",
    "replace",
    "report",
    "result",
    "stamp",
]


SUCCESS = result(
    step=200,
    total_steps=200,
    metrics={"loss": "0.5"},
    output={"kind": "adapter", "path": "tune/output/adapter", "verified": True},
).to_termination_message()
