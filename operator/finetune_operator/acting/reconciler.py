"""Observe, decide, carry out: one job brought up to date. What to do is `decide`'s business, not ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from finetune_api import (
    FineTuneJob,
    FineTuneJobStatus,
    InvalidJobError,
    ObjectMeta,
    ProgressReport,
    parse_job,
)
from finetune_api.resolved import AppliedPreset, attempt_name
from finetune_operator.acting.event_writer import EventWriter
from finetune_operator.cluster import FINETUNE_JOBS, JOBS, Cluster, resource_of
from finetune_operator.deciding.attempts import newest
from finetune_operator.deciding.decide import decide
from finetune_operator.deciding.refusal import blocked, has_ended, rejected
from finetune_operator.deciding.scene import Scene
from finetune_operator.errors import (
    AdmissionError,
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.observation import Observed
from finetune_operator.obstacles import Conflict, Refusal
from finetune_operator.plan import ObjectRef, Plan
from finetune_operator.rendering import RenderConfig
from finetune_operator.watching import stored
from finetune_operator.watching.cache import Manifest
from finetune_operator.watching.complaint_reader import ComplaintReader
from finetune_operator.watching.directories import Writers
from finetune_operator.watching.presets import PresetLostError, Presets
from finetune_operator.watching.state import State

logger = logging.getLogger(__name__)


class Reconciler:
    """Carries out plans for jobs, one at a time per job (the queue sees to that)."""

    def __init__(
        self,
        cluster: Cluster,
        state: State,
        metrics: Metrics,
        config: Callable[[], RenderConfig],
        events: EventWriter,
    ) -> None:
        """`config` is asked anew each time: the certificate authority may change."""
        self._cluster = cluster
        self._state = state
        self._metrics = metrics
        self._config = config
        self._events = events
        self._presets = Presets(cluster, state)
        self._complaints = ComplaintReader(cluster)
        self._writers = Writers(state)

    async def reconcile(self, key: JobKey) -> float | None:
        """Bring the job up to date. Returns in how many seconds to look again; None: when something happens.

        Raises:
            ConflictError: the job changed meanwhile; its new version has been read.
            ApiError: the API server refused something.
        """
        entry = self._state.finetune_jobs.get(*key)
        if entry is None:
            self._state.forget(key)
            self._presets.forget(key)
            self._complaints.forget(key)
            self._writers.forget(key)
            return None
        raw, status = stored.read(entry.value)
        if raw["metadata"].get("deletionTimestamp"):
            return None  # its children follow it by themselves
        uid = raw["metadata"]["uid"]
        # Taken whatever becomes of the spec: a report that nobody took would be due again and again, at once.
        reports = self._state.reports.released(key, uid)
        try:
            plan = await self._carry_out(key, raw, status, reports)
            if await self._write_status(raw, status, plan.status):
                await self._events.write(raw, plan.events)
        finally:
            self._writers.ends_beginning(key)
        waits = (plan.requeue_after, self._state.reports.next_release(key, uid))
        return min((seconds for seconds in waits if seconds is not None), default=None)

    async def _carry_out(
        self, key: JobKey, raw: Manifest, status: FineTuneJobStatus, reports: Mapping[int, ProgressReport]
    ) -> Plan:
        """Decide, delete, create; decide again if a name was taken or an object refused."""
        try:
            manifest, preset = await self._presets.applied(key, raw, status)
            job = parse_job(manifest)
        except InvalidJobError as error:
            return rejected(_metadata(raw), status, error.findings, self._cluster.clock.now())
        except PresetLostError as error:
            return blocked(_metadata(raw), status, str(error), self._cluster.clock.now())
        await self._ask_for_missing_job(key, status)
        seen = self._observed(key, reports, preset)
        observed = await self._with_complaints(key, job, status, seen)
        plan = self._decide(job, status, observed)
        self._writers.note(key, job)
        if plan.apply:
            # nothing is awaited between this question and its answer: of two jobs one is the first
            rival = self._writers.rival_of(key, job, status)
            if rival is None:
                self._writers.begins(key)
            else:
                plan = self._decide(job, status, replace(observed, rival=rival))
        for ref in plan.delete:
            await self._delete(key.namespace, ref)
        conflicts, refusals = [], []
        for child in plan.apply:
            match await self._create(raw, child):
                case Conflict() as conflict:
                    conflicts.append(conflict)
                case Refusal() as refusal:
                    refusals.append(refusal)
            if conflicts or refusals:
                break  # the later ones need the earlier ones
        if conflicts or refusals:
            observed = self._observed(key, reports, preset)
            met = replace(observed, conflicts=tuple(conflicts), refusals=tuple(refusals))
            plan = self._decide(job, status, met)
            for ref in plan.delete:
                await self._delete(key.namespace, ref)
        return plan

    async def _ask_for_missing_job(self, key: JobKey, status: FineTuneJobStatus) -> None:
        """Before a running attempt counts as lost, and what belongs to it is deleted: the watch of Jobs may
        be behind that of FineTuneJobs, where this process stood still or another one has made the Job."""
        record = newest(status)
        if record is None or record.outcome != "Running" or has_ended(status):
            return
        name = attempt_name(key.name, record.number)
        if self._state.jobs.get(key.namespace, name) is None:
            with suppress(NotFoundError):
                self._state.jobs.put(await self._cluster.get(JOBS, key.namespace, name))

    def _decide(self, job: FineTuneJob, status: FineTuneJobStatus, observed: Observed) -> Plan:
        return decide(job, status, observed, self._cluster.clock.now(), self._config())

    def _observed(
        self, key: JobKey, reports: Mapping[int, ProgressReport], preset: AppliedPreset | None
    ) -> Observed:
        state = self._state
        return Observed(
            jobs=tuple(sorted((e.value for e in state.jobs.of_job(key)), key=lambda j: (j.attempt, j.name))),
            pods=tuple(
                sorted((e.value for e in state.pods.of_job(key)), key=lambda p: (p.attempt, p.index, p.name))
            ),
            reports=reports,
            preset=preset,
        )

    async def _with_complaints(
        self, key: JobKey, job: FineTuneJob, status: FineTuneJobStatus, observed: Observed
    ) -> Observed:
        """What events say of the newest attempt, if it waits and nothing else tells for what."""
        scene = Scene(job, status, observed, self._cluster.clock.now(), self._config())
        child = scene.child(scene.newest_attempt)
        if child is None or has_ended(status):
            return observed
        pods = scene.pods(child.attempt)
        nodes = job.spec.distributed.nodes
        complaints = await self._complaints.about(key, child, pods, nodes, scene.now)
        return replace(observed, complaints=complaints)

    async def _delete(self, namespace: str, ref: ObjectRef) -> None:
        resource = resource_of(ref.api_version, ref.kind)
        cached = self._state.jobs if resource == JOBS else None
        try:
            deleting = await self._cluster.delete(resource, namespace, ref.name, uid=ref.uid)
        except ConflictError:
            logger.info("%s %s is another one by now, and stays", ref.kind, ref.name)
            return
        except NotFoundError:
            deleting = None
        else:
            self._metrics.writes.labels(resource.plural).inc()
            logger.info("deleted %s %s", ref.kind, ref.name)
        if cached is not None and deleting is not None:
            cached.put(deleting)
        elif (
            cached is not None and (entry := cached.get(namespace, ref.name)) and ref.uid in (None, entry.uid)
        ):
            cached.forget(namespace, ref.name, entry.uid)

    async def _create(self, owner: Manifest, child: dict[str, Any]) -> Conflict | Refusal | None:
        """Create a child. One of ours that is there already is as good; a stranger's is a conflict.

        Create, and not apply: an apply to a stranger's object of the same name would make it ours.
        """
        namespace, name, kind = owner["metadata"]["namespace"], child["metadata"]["name"], child["kind"]
        resource = resource_of(child["apiVersion"], kind)
        try:
            created = await self._cluster.create(resource, namespace, child)
        except AlreadyExistsError:
            existing = await self._cluster.get(resource, namespace, name)
            if resource == JOBS:
                self._state.jobs.put(existing)
            conflict = conflict_with(owner, child, existing)
            if conflict is None and await self._is_of_another_spec(child, existing):
                ref = ObjectRef(child["apiVersion"], kind, name, existing["metadata"]["uid"])
                await self._delete(namespace, ref)
                return Conflict(kind, name, "this job, with an earlier spec", leftover=True)
            return conflict
        except (InvalidError, ForbiddenError, AdmissionError) as error:
            logger.warning("%s %s was refused: %s", kind, name, error)
            return Refusal(kind, name, error.detail, permanent=isinstance(error, InvalidError))
        self._metrics.writes.labels(resource.plural).inc()
        logger.info("created %s %s", kind, name)
        if resource == JOBS and self._state.jobs.put(created) is not None:  # else the watch was faster
            self._state.monitor.expect(JOBS, int(created["metadata"]["resourceVersion"]))
        return None

    async def _is_of_another_spec(self, child: Manifest, existing: Manifest) -> bool:
        """Whether a ConfigMap of ours is what was left of an attempt that never got its Job, and says other
        things than the job says by now. With a Job it is what the attempt runs with, and stays.
        """
        if child["kind"] != "ConfigMap" or child["data"] == existing.get("data"):
            return False
        metadata = child["metadata"]
        try:
            await self._cluster.get(JOBS, metadata["namespace"], metadata["name"])
        except NotFoundError:
            return True
        return False

    async def _write_status(
        self, raw: Manifest, before: FineTuneJobStatus, status: FineTuneJobStatus
    ) -> bool:
        """Write the status if it differs from what is stored. Returns whether it did."""
        metadata = raw["metadata"]
        if status == before:
            return False
        body = {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "metadata": {field: metadata[field] for field in ("name", "namespace", "uid", "resourceVersion")},
            "spec": raw["spec"],
            "status": status.to_json_object(),
        }
        try:
            written = await self._cluster.replace(
                FINETUNE_JOBS, metadata["namespace"], metadata["name"], body, "status"
            )
        except ConflictError:
            self._state.finetune_jobs.put(
                await self._cluster.get(FINETUNE_JOBS, metadata["namespace"], metadata["name"])
            )
            raise
        except NotFoundError:
            return False  # deleted meanwhile: the watch will tell
        self._metrics.writes.labels("status").inc()
        version = int(written["metadata"]["resourceVersion"])
        if self._state.finetune_jobs.put(written) is not None:
            self._state.monitor.expect(FINETUNE_JOBS, version)
        return True


def _metadata(raw: Manifest) -> ObjectMeta:
    return ObjectMeta.from_json_object(raw["metadata"])


def conflict_with(owner: Manifest, child: Manifest, existing: Manifest) -> Conflict | None:
    """Whether an object that bears the name of a child-to-be belongs to somebody else, and to whom.

    A child without ownerReferences (the storage claim) is the user's once it is there: never a conflict.
    """
    if not child["metadata"].get("ownerReferences"):
        return None
    metadata = existing["metadata"]
    controller = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    deleting = bool(metadata.get("deletionTimestamp"))
    if controller is None:
        return Conflict(existing["kind"], metadata["name"], "nobody", leftover=deleting)
    if controller["uid"] == owner["metadata"]["uid"] and not deleting:
        return None
    predecessor = (controller["kind"], controller["name"]) == (owner["kind"], owner["metadata"]["name"])
    return Conflict(
        existing["kind"],
        metadata["name"],
        f"{controller['kind']} {controller['name']}",
        leftover=deleting or predecessor,
    )
