"""Follow a FineTuneJob live: one line per change of its status."""

import time
from collections.abc import Callable
from typing import Final

from finetune_api import FineTuneJobStatus, Phase
from finetune_cli.local.display import describe
from finetune_demo.kubectl import Cluster

POLL_SECONDS: Final = 1.0
LINE_SECONDS: Final = 5.0
"""While a job trains, its step grows all the time: a line every few seconds is enough."""

_ENDED: Final = {Phase.SUCCEEDED, Phase.FAILED, Phase.STALLED}


class JobFailedError(RuntimeError):
    """The job did not succeed; the text says why."""


def follow(
    cluster: Cluster, namespace: str, name: str, limit_seconds: float, say: Callable[[str], None]
) -> FineTuneJobStatus:
    """Return the final status of a job that succeeds.

    Raises `JobFailedError` if it fails, stalls, or does not end within `limit_seconds`.
    """
    deadline = time.monotonic() + limit_seconds
    lines = _Lines(name, say)
    while time.monotonic() < deadline:
        body = cluster.get("finetunejob", name, namespace)
        if body is None:
            raise JobFailedError(f"FineTuneJob {name} is gone")
        status = FineTuneJobStatus.from_json_object(body.get("status") or {})
        lines.show(status)
        if status.phase is Phase.SUCCEEDED:
            return status
        if status.phase in _ENDED:
            reasons = [condition.message for condition in status.conditions if condition.type == "Ready"]
            raise JobFailedError(f"FineTuneJob {name}: {status.phase}: {' '.join(reasons)}")
        time.sleep(POLL_SECONDS)
    raise JobFailedError(f"FineTuneJob {name} has not ended after {limit_seconds:.0f} s")


class _Lines:
    """Says a line when the phase or the activity changes, and now and then in between."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._kind: tuple[object, object] = (None, None)
        self._line = ""
        self._said_at = float("-inf")

    def show(self, status: FineTuneJobStatus) -> None:
        kind = (status.phase, status.progress.activity if status.progress else None)
        phase, detail = str(status.phase or Phase.PENDING), describe(status)
        words = [detail] if detail.startswith(phase) else [phase.ljust(9), detail]
        line = f"{self._name}: {' '.join(words)}"
        overdue = time.monotonic() - self._said_at >= LINE_SECONDS
        if line != self._line and (kind != self._kind or overdue):
            self._kind, self._line, self._said_at = kind, line, time.monotonic()
            self._say(line)
