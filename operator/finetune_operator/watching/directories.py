"""Policy: a directory of a volume has one writer. Where a job trains, no other job does at the same time.

Names of objects keep the attempts of one job apart, and jobs of one name that follow each other. Two jobs of
different names meet where both name the same claim and the same directory. The one that has begun has it
until it ends, also while it is suspended or waits for its next attempt; of two that both have begun (with an
older operator), the one that began first.
"""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import normpath

from finetune_api import FineTuneJob, FineTuneJobStatus, InvalidJobError, parse_job
from finetune_operator import labels
from finetune_operator.deciding.refusal import has_ended, has_started
from finetune_operator.keys import JobKey
from finetune_operator.obstacles import Rival
from finetune_operator.watching import stored
from finetune_operator.watching.cache import Manifest
from finetune_operator.watching.state import State


@dataclass(frozen=True, slots=True)
class Directory:
    """A place on a claim of the job's namespace."""

    claim: str
    path: str

    def __str__(self) -> str:
        return f"directory {self.path} of claim {self.claim}"


def directories(job: FineTuneJob) -> frozenset[Directory]:
    """Where a job writes: its run directory, and its results where these are apart."""
    storage, output = job.spec.checkpoints.storage, job.spec.output.storage
    claim = storage.claim_name or labels.storage_claim_name(job.metadata.name)
    places = {Directory(claim, normpath(storage.sub_path or job.metadata.name))}
    if output is not None and output.claim_name is not None:
        places.add(Directory(output.claim_name, normpath(output.sub_path or job.metadata.name)))
    return frozenset(places)


class Writers:
    """Who writes where, among all jobs that the operator knows."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._places: dict[JobKey, tuple[str, frozenset[Directory]]] = {}
        """By job: its UID, and its directories, which a preset may name."""
        self._beginning: set[JobKey] = set()

    def note(self, key: JobKey, job: FineTuneJob) -> None:
        """Remember where a job writes."""
        self._places[key] = (job.metadata.uid, directories(job))

    def forget(self, key: JobKey) -> None:
        """The job is gone. Its pods may still save; each that ends is a reason to ask again."""
        if not self._has_live_pods(key):
            self._places.pop(key, None)

    def begins(self, key: JobKey) -> None:
        """From now on the job counts as begun, until `ends_beginning`: its status will say so."""
        self._beginning.add(key)

    def ends_beginning(self, key: JobKey) -> None:
        """Its status, or its child Job, tells by now whether it has begun."""
        self._beginning.discard(key)

    def rival_of(self, key: JobKey, job: FineTuneJob, status: FineTuneJobStatus) -> Rival | None:
        """Who must have ended before this job's next attempt may begin, if anybody."""
        own = directories(job)
        for other in self._state.finetune_jobs:
            name = JobKey(other.namespace, other.name)
            if other.namespace != key.namespace or name == key:
                continue
            shared = own & self._directories_of(name, other.uid, other.value)
            if shared and self._goes_first(name, stored.read(other.value)[1], key, status):
                return Rival("FineTuneJob", other.name, str(min(shared, key=str)))
        return self._orphan(key, own)

    def _directories_of(self, key: JobKey, uid: str, raw: Manifest) -> frozenset[Directory]:
        known = self._places.get(key)
        if known is None or known[0] != uid:
            try:
                self.note(key, parse_job(raw))
            except InvalidJobError:
                return frozenset()
            known = self._places[key]
        return known[1]

    def _goes_first(
        self, other: JobKey, its_status: FineTuneJobStatus, key: JobKey, status: FineTuneJobStatus
    ) -> bool:
        children = self._state.jobs.of_job(other)
        if self._has_live_pods(other) or any(not child.value.finished for child in children):
            return True
        if has_ended(its_status):
            return False
        if other in self._beginning:
            return True
        if not has_started(its_status):
            return False
        return not has_started(status) or _order(other, its_status) < _order(key, status)

    def _orphan(self, key: JobKey, own: frozenset[Directory]) -> Rival | None:
        """A pod that still saves where its job, which is gone, has had a directory of this one's."""
        for other, (_, places) in self._places.items():
            if other.namespace != key.namespace or other == key or not own & places:
                continue
            if self._state.finetune_jobs.get(*other) is None:
                live = [pod.name for pod in self._state.pods.of_job(other) if not pod.value.ended]
                if live:
                    return Rival("Pod", min(live), str(min(own & places, key=str)))
        return None

    def _has_live_pods(self, key: JobKey) -> bool:
        return any(not pod.value.ended for pod in self._state.pods.of_job(key))


def _order(key: JobKey, status: FineTuneJobStatus) -> tuple[bool, object, str]:
    began = status.start_time
    return (began is None, began.timestamp() if began is not None else 0.0, key.name)
