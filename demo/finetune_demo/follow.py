"""Follow a FineTuneJob live: one line per change of its status."""

import time
from collections.abc import Callable
from typing import Final

from finetune_api import FineTuneJobStatus, Phase
from finetune_cli.local.display import News, describe
from finetune_demo.kubectl import Cluster

POLL_SECONDS: Final = 1.0

_FAILED: Final = {Phase.FAILED, Phase.CANCELLED, Phase.STALLED}


class JobFailedError(RuntimeError):
    """The job did not succeed; the text says why."""


def follow(
    cluster: Cluster, namespace: str, name: str, limit_seconds: float, say: Callable[[str], None]
) -> FineTuneJobStatus:
    """Return the final status of a job that succeeds.

    Raises `JobFailedError` if it fails, stalls, or does not end within `limit_seconds`.
    """
    deadline = time.monotonic() + limit_seconds
    news = News()
    while time.monotonic() < deadline:
        body = cluster.get("finetunejob", name, namespace)
        if body is None:
            raise JobFailedError(f"FineTuneJob {name} is gone")
        status = FineTuneJobStatus.from_json_object(body.get("status") or {})
        line = _line(name, status)
        if news.is_due(status, line):
            say(line)
        if status.phase is Phase.SUCCEEDED:
            return status
        if status.phase in _FAILED:
            reasons = [condition.message for condition in status.conditions if condition.type == "Ready"]
            raise JobFailedError(f"FineTuneJob {name}: {status.phase}: {' '.join(reasons)}")
        time.sleep(POLL_SECONDS)
    raise JobFailedError(f"FineTuneJob {name} has not ended after {limit_seconds:.0f} s")


def _line(name: str, status: FineTuneJobStatus) -> str:
    phase, detail = str(status.phase or Phase.PENDING), describe(status)
    words = [detail] if detail.startswith(phase) else [phase.ljust(9), detail]
    return f"{name}: {' '.join(words)}"
