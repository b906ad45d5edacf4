"""A job as trackers are told of it: which run this is, and its settings, without anything secret. Pure."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from finetune_api.resolved import ResolvedJob
from finetune_api.tracking import TrackerSpec
from finetune_trainer.tracking.base import TrackedRun

SECTIONS: Final = (
    "model",
    "method",
    "quantization",
    "dataset",
    "training",
    "distributed",
    "evaluation",
)
"""What of a spec is told. `resources` is not: its variables may hold secrets."""

VALUE_LENGTH: Final = 500
"""The shortest limit of all trackers."""

DIRECTORY: Final = "tracking"
"""Below the run directory: what trackers keep in files."""

Parameters = dict[str, str | int | float | bool]


def tracked_run(
    job: ResolvedJob,
    tracker: TrackerSpec,
    *,
    resumed_step: int | None,
    effective: Mapping[str, str],
) -> TrackedRun:
    """What one tracker is told at the start."""
    tracking = job.spec.tracking
    facts: Parameters = {f"effective.{name}": value for name, value in effective.items()}
    return TrackedRun(
        id=run_id(job),
        name=tracking.run_name or job.job.name,
        project=tracking.project or job.job.name,
        workspace=tracker.workspace,
        tags=tracking.tags,
        url=tracker.url,
        offline=tracker.offline,
        directory=Path(job.paths.run_directory).absolute() / DIRECTORY / tracker.type,
        attempt=job.attempt,
        resumed_step=resumed_step,
        parameters=parameters(job) | facts,
    )


def run_id(job: ResolvedJob) -> str:
    """32 hexadecimal digits: the job's uid, whose attempts continue one run; outside a cluster those of its
    name and directory."""
    uid = job.job.uid.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{32}", uid):
        return uid
    named = job.job.uid or f"{job.job.name}\n{Path(job.paths.run_directory).absolute()}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def parameters(job: ResolvedJob) -> Parameters:
    """Settings by field path, those that are not set left out, and long ones cut."""
    spec = job.spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(SECTIONS))
    told: Parameters = {"nodes": job.nodes, "effectiveBatchSize": job.effective_batch_size}
    for path, value in _leaves(spec):
        told[path] = _without_secrets(value)[:VALUE_LENGTH] if isinstance(value, str) else value
    return told


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict):
        for key, child in value.items():
            if not key.endswith("Secret"):
                yield from _leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if value:
            yield path, ", ".join(str(item) for item in value)
    else:
        yield path, value


def _without_secrets(text: str) -> str:
    """Addresses without user, password and query: a signed address is a key."""
    return re.sub(r"(https?://)(?:[^/@\s]*@)?([^?#\s]*)\S*", r"\1\2", text)
