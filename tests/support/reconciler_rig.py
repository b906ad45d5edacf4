"""A reconciler in front of an API server that stores what is created and answers as a test says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from finetune_operator.acting.event_writer import EventWriter
from finetune_operator.acting.reconciler import Reconciler
from finetune_operator.clock import ClusterClock
from finetune_operator.cluster import JOBS, Resource
from finetune_operator.errors import NotFoundError, from_response
from finetune_operator.health import WatchMonitor
from finetune_operator.keys import JobKey
from finetune_operator.metrics import Metrics
from finetune_operator.watching.queue import Backoff, KeyedQueue
from finetune_operator.watching.reports import ReportStore
from finetune_operator.watching.state import State
from operator_scenes import CONFIG, make_job

Manifest = dict[str, Any]


class ApiServer:
    """Stores what is created; refuses the kinds that it is told to refuse, in the API server's way."""

    def __init__(self) -> None:
        self.clock = ClusterClock()
        self.stored: dict[str, Manifest] = {}
        self.refuses: dict[str, tuple[int, str]] = {}
        self.statuses: list[Manifest] = []
        self.version = 100
        self.told: Callable[[Manifest], object] = lambda _: None
        """What a watch does with a new object before the answer to its creation is read."""

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        path = resource.path(namespace)
        if manifest["kind"] in self.refuses:
            code, message = self.refuses[manifest["kind"]]
            raise from_response("POST", path, code, "", message)
        place = f"{path}/{manifest['metadata'].get('name')}"
        if place in self.stored:
            raise from_response("POST", path, 409, "AlreadyExists", "")
        self.stored[place] = self._stamped(manifest)
        self.told(self.stored[place])
        return self.stored[place]

    async def replace(self, _: Resource, __: str, ___: str, manifest: Manifest, _sub: str = "") -> Manifest:
        self.statuses.append(manifest["status"])
        return self._stamped(manifest)

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        if (place := resource.path(namespace, name)) not in self.stored:
            raise NotFoundError(name)
        return self.stored[place]

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None) -> None:
        assert uid in (None, "u")
        if self.stored.pop(resource.path(namespace, name), None) is None:
            raise NotFoundError(name)

    def _stamped(self, manifest: Manifest) -> Manifest:
        self.version += 1
        metadata = {"uid": "u", **manifest["metadata"], "resourceVersion": str(self.version)}
        return {**manifest, "metadata": metadata}


class Rig:
    """A reconciler, and how it comes to know of jobs."""

    def __init__(self, clock: Any) -> None:
        self.api = ApiServer()
        self.generations: Counter[tuple[str, str]] = Counter()
        queue: KeyedQueue[JobKey] = KeyedQueue(Backoff(1, 1))
        self.state = State(queue, ReportStore(2.0, clock), WatchMonitor(clock))
        self.reconciler = Reconciler(
            self.api,  # type: ignore[arg-type]
            self.state,
            Metrics(),
            lambda: CONFIG,
            EventWriter(self.api, "test", clock),  # type: ignore[arg-type]
        )

    def know(
        self, sections: Manifest | None = None, name: str = "tune", namespace: str = "team", **changes: Any
    ) -> None:
        """The watch tells of a job; of a new spec, as its next generation."""
        self.generations[namespace, name] += 1
        generation = self.generations[namespace, name]
        raw: Manifest = make_job(sections, name=name, generation=generation).to_json_object()
        raw["metadata"]["namespace"] = namespace
        self.api.version += 1
        raw["metadata"]["resourceVersion"] = str(self.api.version)
        self.state.finetune_jobs.put({**raw, **changes})

    def lose(self, name: str, namespace: str = "team") -> None:
        """The job is deleted, and its child Jobs with it; pods may still be there."""
        entry = self.state.finetune_jobs.get(namespace, name)
        assert entry is not None
        self.state.finetune_jobs.forget(namespace, name, entry.uid)
        for child in self.state.jobs.of_job(JobKey(namespace, name)):
            self.state.jobs.forget(namespace, child.name, child.uid)
            del self.api.stored[JOBS.path(namespace) + f"/{child.name}"]

    def children(self) -> list[str]:
        """The names of the Jobs that were created."""
        return [made["metadata"]["name"] for made in self.api.stored.values() if made["kind"] == "Job"]

    def epochs(self) -> float:
        """What the attempt will train."""
        [config_map] = [found for found in self.api.stored.values() if found["kind"] == "ConfigMap"]
        epochs: float = json.loads(config_map["data"]["job.json"])["spec"]["training"]["epochs"]
        return epochs

    def condition(self, type_: str) -> Manifest:
        conditions = self.api.statuses[-1]["conditions"]
        return next(found for found in conditions if found["type"] == type_)
