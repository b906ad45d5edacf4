"""What the operator knows of the cluster: the newest version of each object that anyone told it about.

Three sources tell: watch events, full listings, and the responses to our own writes. Resource versions of one
kind are integers that grow (Kubernetes guarantees it), so the newest wins whatever the order of arrival, and
a decision is never taken on something older than what we wrote ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from finetune_operator.keys import JobKey

T = TypeVar("T")
Manifest = Mapping[str, Any]
Place = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One object: who it is, how new, and what it says."""

    namespace: str
    name: str
    uid: str
    version: int
    job: JobKey
    value: T


class Cache(Generic[T]):
    """Objects of one kind, by namespace and name, and by the FineTuneJob they belong to."""

    def __init__(self, parse: Callable[[Manifest], T], job_of: Callable[[Manifest], JobKey | None]) -> None:
        """`parse` turns a manifest into what is kept of it; `job_of` says whose it is (None: not ours)."""
        self._parse = parse
        self._job_of = job_of
        self._entries: dict[Place, Entry[T]] = {}
        self._of_job: dict[JobKey, set[Place]] = {}
        self._gone: dict[Place, int] = {}
        """Versions at which objects were deleted, so that older news does not raise them from the dead."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, namespace: str, name: str) -> Entry[T] | None:
        """The object of that name, if it is known."""
        return self._entries.get((namespace, name))

    def of_job(self, key: JobKey) -> list[Entry[T]]:
        """All objects that belong to a job, by name."""
        return [self._entries[place] for place in sorted(self._of_job.get(key, ()))]

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def jobs(self) -> set[JobKey]:
        """All jobs that something here belongs to."""
        return set(self._of_job)

    def put(self, manifest: Manifest) -> JobKey | None:
        """Take note of an object. Returns whose it is if that was news; None if known, old, or not ours."""
        job = self._job_of(manifest)
        if job is None:
            return None
        metadata = manifest["metadata"]
        place = (metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._entries.get(place)
        if version <= max(known.version if known else -1, self._gone.get(place, -1)):
            return None
        self._drop(place)
        self._gone.pop(place, None)
        self._entries[place] = Entry(*place, metadata["uid"], version, job, self._parse(manifest))
        self._of_job.setdefault(job, set()).add(place)
        return job

    def remove(self, manifest: Manifest) -> JobKey | None:
        """Take note that an object is gone. Returns whose it was if that was news."""
        metadata = manifest["metadata"]
        place = (metadata["namespace"], metadata["name"])
        known = self._entries.get(place)
        version = int(metadata["resourceVersion"])
        if known is not None and version < known.version and known.uid != metadata["uid"]:
            return None  # an older object of the same name
        self._gone[place] = max(version, self._gone.get(place, -1))
        return self._drop(place)

    def forget(self, namespace: str, name: str, uid: str) -> None:
        """Take note that an object of ours was deleted by ourselves, at once."""
        known = self._entries.get((namespace, name))
        if known is not None and known.uid == uid:
            self._gone[(namespace, name)] = known.version
            self._drop((namespace, name))

    def keep_only(
        self, present: Collection[Place], version: int, namespace: str | None = None
    ) -> set[JobKey]:
        """Drop what a listing of one namespace or all, made at `version`, did not show. Returns whose it was.

        An object that is known but was not listed, and is no newer than the listing, vanished while no watch
        was looking: watches do not tell of deletions that they missed.
        """
        news: set[JobKey] = set()
        for place, entry in list(self._entries.items()):
            listable = namespace is None or place[0] == namespace
            if listable and place not in present and entry.version <= version and (job := self._drop(place)):
                news.add(job)
        self._gone = {place: at for place, at in self._gone.items() if at > version}
        return news

    def _drop(self, place: Place) -> JobKey | None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return None
        places = self._of_job[entry.job]
        places.discard(place)
        if not places:
            del self._of_job[entry.job]
        return entry.job


class Census:
    """A listing of one kind, page by page, and what it says that a cache did not know."""

    def __init__(self, cache: Cache[Any], namespace: str | None = None) -> None:
        """The listing is of one `namespace`, or of all (None)."""
        self._cache = cache
        self._namespace = namespace
        self._present: set[Place] = set()

    def count(self, listed: Iterable[Manifest]) -> set[JobKey]:
        """Take a page. Returns the jobs that it brings news of."""
        news: set[JobKey] = set()
        for manifest in listed:
            self._present.add((manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
            if job := self._cache.put(manifest):
                news.add(job)
        return news

    def close(self, version: int) -> set[JobKey]:
        """That was the last page. Returns the jobs that have lost an object since."""
        return self._cache.keep_only(self._present, version, self._namespace)
