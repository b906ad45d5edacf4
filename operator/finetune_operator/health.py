"""Is the operator well? Liveness: can it still do its work. Readiness: may pods report to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from finetune_operator.cluster import Resource

OVERDUE_SECONDS = 120.0


class WatchMonitor:
    """Notices a watch that is refused, or went deaf: what we write ourselves must come back as an event."""

    def __init__(self, clock: Callable[[], float], overdue_seconds: float = OVERDUE_SECONDS) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._overdue_seconds = overdue_seconds
        self._expected: dict[Resource, deque[tuple[int, float]]] = {}
        self._refused: dict[str, str] = {}

    def expect(self, resource: Resource, version: int) -> None:
        """We wrote an object of this kind, which got this resource version."""
        self._expected.setdefault(resource, deque()).append((version, self._clock()))

    def saw(self, resource: Resource, version: int) -> None:
        """The watch told of an object of this kind at this version: what is older was told, or overtaken."""
        waiting = self._expected.get(resource)
        while waiting and waiting[0][0] <= version:
            waiting.popleft()

    def answered(self, path: str) -> None:
        """The API server serves the watch at this path."""
        self._refused.pop(path, None)

    def cut_off(self, path: str, why: str) -> None:
        """The API server can't be reached, or won't serve the watch at this path.

        What was written before is waited for anew, from now on.
        """
        self._refused[path] = why
        now = self._clock()
        for kind, waiting in self._expected.items():
            self._expected[kind] = deque((version, now) for version, _ in waiting)

    def deaf(self) -> list[str]:
        """Kinds whose watch has been silent about a write of ours for too long."""
        limit = self._clock() - self._overdue_seconds
        return [kind.plural for kind, waiting in self._expected.items() if waiting and waiting[0][1] < limit]

    def refused(self) -> dict[str, str]:
        """Watches that are refused, by path, and why."""
        return dict(self._refused)


@dataclass(slots=True)
class Health:
    """Checks by name; each returns what is wrong, or an empty string."""

    live: dict[str, Callable[[], str]] = field(default_factory=dict)
    ready: dict[str, Callable[[], str]] = field(default_factory=dict)

    def liveness(self) -> dict[str, str]:
        """What is wrong beyond repair: the kubelet should restart the operator."""
        return _failing(self.live)

    def readiness(self) -> dict[str, str]:
        """What keeps the operator from doing its work now."""
        return _failing(self.live) | _failing(self.ready)


def _failing(checks: dict[str, Callable[[], str]]) -> dict[str, str]:
    return {name: problem for name, check in checks.items() if (problem := check())}
