"""What the operator remembers: caches, a queue of jobs to look at, and reports. All of it can be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from finetune_api.presets.in_cluster import preset_named_by
from finetune_operator import labels
from finetune_operator.cluster import FINETUNE_JOBS, FINETUNE_PRESETS, JOBS, PODS, Cluster, Resource
from finetune_operator.health import WatchMonitor
from finetune_operator.keys import JobKey
from finetune_operator.observation import ObservedJob, ObservedPod
from finetune_operator.watching.cache import Cache, Census, Manifest, T
from finetune_operator.watching.queue import KeyedQueue
from finetune_operator.watching.reports import ReportStore


class State:
    """Shared by the watches, the resync, the status server and the workers; all on one event loop."""

    def __init__(self, queue: KeyedQueue[JobKey], reports: ReportStore, monitor: WatchMonitor) -> None:
        self.queue = queue
        self.reports = reports
        self.monitor = monitor
        self.deletions_missed = asyncio.Event()
        """Set when a watch has begun anew, with a listing: such a watch tells of no deletion before it."""
        self.finetune_jobs: Cache[Manifest] = Cache(_without_managed_fields, _own_key)
        self.presets: Cache[Manifest] = Cache(dict, _own_key)
        self.jobs = child_cache(ObservedJob.from_kubernetes)
        self.pods = child_cache(ObservedPod.from_kubernetes)

    def tell(self, resource: Resource, event: str | None, manifest: Manifest) -> None:
        """A watch saw an object: None and ADDED and MODIFIED say how it is, DELETED that it is gone."""
        cache = self.cache_of(resource)
        self.monitor.saw(resource, int(manifest["metadata"]["resourceVersion"]))
        news = cache.remove(manifest) if event == "DELETED" else cache.put(manifest)
        self._look_at(resource, {news} if news is not None else set())

    def cache_of(self, resource: Resource) -> Cache[Any]:
        """The cache of a kind that is watched."""
        caches: dict[Resource, Cache[Any]] = {
            FINETUNE_JOBS: self.finetune_jobs,
            FINETUNE_PRESETS: self.presets,
            JOBS: self.jobs,
            PODS: self.pods,
        }
        return caches[resource]

    async def resync(self, cluster: Cluster, namespaces: tuple[str, ...]) -> set[JobKey]:
        """List everything anew, and ask for the jobs about which more was learned than the watches had told.

        Returns them.

        Raises:
            ApiError: a listing failed; the caches keep what they had of the rest of that kind.
        """
        news: set[JobKey] = set()
        kinds = (
            (FINETUNE_JOBS, ""),
            (FINETUNE_PRESETS, ""),
            (JOBS, labels.SELECTOR),
            (PODS, labels.SELECTOR),
        )
        for resource, selector in kinds:
            for namespace in namespaces or (None,):
                census = Census(self.cache_of(resource), namespace)
                async for page in cluster.pages(resource, namespace, selector):
                    news |= self._look_at(resource, census.count(page.items))
                news |= self._look_at(resource, census.close(page.version))
        return news

    def _look_at(self, resource: Resource, news: set[JobKey]) -> set[JobKey]:
        jobs = self._concerned(resource, news)
        for job in jobs:
            self.queue.add(job)
        return jobs

    def presets_of(self, namespace: str) -> dict[str, Manifest]:
        """The FineTunePresets of a namespace, by name."""
        return {entry.name: entry.value for entry in self.presets if entry.namespace == namespace}

    def _concerned(self, resource: Resource, news: set[JobKey]) -> set[JobKey]:
        """The jobs to look at: of a preset, those that name it."""
        if resource != FINETUNE_PRESETS or not news:
            return news
        return {
            JobKey(entry.namespace, entry.name)
            for entry in self.finetune_jobs
            if (entry.namespace, preset_named_by(entry.value)) in news
        }

    def forget(self, key: JobKey) -> None:
        """The FineTuneJob is gone."""
        self.reports.forget(key)
        self.queue.forgive(key)


def child_cache(parse: Callable[[Manifest], T | None]) -> Cache[T]:
    """A cache of objects that our labels assign to a FineTuneJob."""
    return Cache(_parser(parse), _labelled_key)


def _own_key(manifest: Manifest) -> JobKey:
    metadata = manifest["metadata"]
    return JobKey(metadata["namespace"], metadata["name"])


def _labelled_key(manifest: Manifest) -> JobKey | None:
    metadata = manifest["metadata"]
    given = metadata.get("labels") or {}
    if labels.JOB not in given or not str(given.get(labels.ATTEMPT, "")).isdecimal():
        return None
    return JobKey(metadata["namespace"], given[labels.JOB])


def _without_managed_fields(manifest: Manifest) -> Manifest:
    """They are most of an object's size, and only tell what a preset may fill."""
    if preset_named_by(manifest) is not None:
        return manifest
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}


def _parser(parse: Callable[[Manifest], T | None]) -> Callable[[Manifest], T]:
    def checked(manifest: Manifest) -> T:
        value = parse(manifest)
        if value is None:  # _labelled_key lets only labelled objects through
            raise ValueError(f"{manifest['metadata']['name']}: not a child of a FineTuneJob")
        return value

    return checked
