"""One job and what belongs to it, sorted out of what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_api import FineTuneJob, FineTuneJobStatus, ProgressReport, TrainingResult
from finetune_operator.observation import Observed, ObservedJob, ObservedPod
from finetune_operator.rendering.config import RenderConfig


@dataclass(frozen=True, slots=True)
class Scene:
    """The arguments of a decision, and what follows from them without any policy."""

    job: FineTuneJob
    status: FineTuneJobStatus
    observed: Observed
    now: datetime
    config: RenderConfig

    @property
    def own_command(self) -> bool:
        """The pods run a program of the user's instead of the trainer."""
        return self.job.spec.resources.command is not None

    @property
    def children(self) -> Sequence[ObservedJob]:
        """The Jobs that this very FineTuneJob owns."""
        return [child for child in self.observed.jobs if child.owner_uid == self.job.metadata.uid]

    @property
    def strangers(self) -> Sequence[ObservedJob]:
        """Jobs of a FineTuneJob of the same name that is gone: they use the same volume."""
        return [child for child in self.observed.jobs if child.owner_uid != self.job.metadata.uid]

    @property
    def newest_attempt(self) -> int:
        """The number of the latest attempt that the status, a child or a pod tells of; 0 before the first.

        A pod alone does, where its Job was deleted before the status that named it could be written.
        """
        recorded = [record.number for record in self.status.attempts]
        jobs, pods = ([each.attempt for each in seen] for seen in (self.children, self.own_pods))
        return max([self.status.attempt or 0, *recorded, *jobs, *pods])

    @property
    def own_pods(self) -> Sequence[ObservedPod]:
        """The pods of this very FineTuneJob, of any attempt."""
        return [pod for pod in self.observed.pods if pod.owner_uid == self.job.metadata.uid]

    @property
    def live_pods(self) -> Sequence[ObservedPod]:
        """Pods of any attempt, of strangers too, that may still write to the volume."""
        return [pod for pod in self.observed.pods if not pod.ended]

    @property
    def live_jobs(self) -> Sequence[ObservedJob]:
        """Jobs of any attempt, of strangers too, that may still start pods."""
        return [child for child in self.observed.jobs if not child.finished]

    def child(self, attempt: int) -> ObservedJob | None:
        """The Job of an attempt."""
        return next((child for child in self.children if child.attempt == attempt), None)

    def pods(self, attempt: int) -> Sequence[ObservedPod]:
        """The pods of an attempt of this very FineTuneJob."""
        return [pod for pod in self.own_pods if pod.attempt == attempt]

    def report(self, attempt: int) -> ProgressReport | None:
        """The newest report of an attempt."""
        return self.observed.reports.get(attempt)

    def reported_result(self, attempt: int) -> TrainingResult | None:
        """The result that an attempt's trainer has sent, if it was done."""
        report = self.report(attempt)
        return report.finetune.result if report is not None and report.finetune is not None else None
