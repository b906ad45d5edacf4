"""What a job leaves to a preset or to `auto`: what its first attempt began with, for as long as the job is
there.

Until then the preset counts as it is now. An attempt's ConfigMap records what was resolved; the next attempt
takes it from there, whatever has become of the preset, the nodes or the estimator since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from finetune_api import FineTuneJobStatus, InvalidJobError, ResolvedJob
from finetune_api.presets.in_cluster import as_recorded, is_settled_by_its_start, preset_named_by, with_preset
from finetune_api.resolved import JOB_FILE, AppliedPreset, attempt_name
from finetune_api.status import PresetStatus
from finetune_operator.cluster import Cluster, resource_of
from finetune_operator.errors import NotFoundError
from finetune_operator.keys import JobKey
from finetune_operator.watching.state import State

Manifest = Mapping[str, Any]


class PresetLostError(Exception):
    """A job has started from values that are recorded nowhere any more; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Started:
    """What an attempt of a job recorded."""

    uid: str
    record: ResolvedJob


class Presets:
    """Puts presets into jobs. Remembers what attempts have recorded; all of that can be lost."""

    def __init__(self, cluster: Cluster, state: State) -> None:
        self._cluster = cluster
        self._state = state
        self._started: dict[JobKey, Started] = {}

    async def applied(
        self, key: JobKey, raw: Manifest, status: FineTuneJobStatus
    ) -> tuple[Manifest, AppliedPreset | None]:
        """The job with its preset in it, and what was applied; one that has started with what it started
        with. A job that says everything itself comes back as it is.

        Raises:
            InvalidJobError: there is no such preset, or it is none.
            PresetLostError: the preset has changed since the job started, and no attempt's record is left.
            ApiError: the record can't be read.
        """
        if not is_settled_by_its_start(raw):
            return raw, None
        record = await self._record(key, raw, status)
        if record is not None and (record.preset is None) == (preset_named_by(raw) is None):
            return as_recorded(raw, record), record.preset
        if preset_named_by(raw) is None:
            return raw, None
        own = self._state.presets_of(key.namespace)
        if status.preset is None or not status.attempt:
            return with_preset(raw, own)
        return _unchanged(raw, own, status.preset)

    def forget(self, key: JobKey) -> None:
        """The job is gone."""
        self._started.pop(key, None)

    async def _record(self, key: JobKey, raw: Manifest, status: FineTuneJobStatus) -> ResolvedJob | None:
        uid = raw["metadata"]["uid"]
        known = self._started.get(key)
        if known is not None and known.uid == uid:
            return known.record
        # The first one may be there though the status does not tell: whoever made it had no time to say so.
        # (A ConfigMap without its Job is what is left of a try; the spec may have changed since.) And the
        # newest may have been announced, and not been made.
        if not status.attempt and not self._has_job(key, uid):
            return None
        newest = status.attempt or 1
        for attempt in range(newest, max(newest - 2, 0), -1):
            if (record := await self._recorded(key, attempt, uid)) is not None:
                self._started[key] = Started(uid, record)
                return record
        return None

    def _has_job(self, key: JobKey, uid: str) -> bool:
        return any(child.value.owner_uid == uid for child in self._state.jobs.of_job(key))

    async def _recorded(self, key: JobKey, attempt: int, uid: str) -> ResolvedJob | None:
        name = attempt_name(key.name, attempt)
        try:
            found = await self._cluster.get(resource_of("v1", "ConfigMap"), key.namespace, name)
        except NotFoundError:
            return None
        return recorded(found, uid)


def _unchanged(
    raw: Manifest, own: Mapping[str, Manifest], then: PresetStatus
) -> tuple[Manifest, AppliedPreset | None]:
    """The job over a preset that still gives the values that it gave when the job started."""
    try:
        manifest, preset = with_preset(raw, own)
    except InvalidJobError:
        preset = None
    if preset is None or preset.digest != then.digest:
        raise PresetLostError(
            f"spec.preset: {then.name} has changed since the job started, or is gone, and so is the "
            "ConfigMap with its old values. Give the preset its old values, or create a new job."
        )
    return manifest, preset


def recorded(config_map: Manifest, uid: str) -> ResolvedJob | None:
    """What the ConfigMap of an attempt of the job with this UID records; None if it is no such ConfigMap."""
    owners = config_map["metadata"].get("ownerReferences") or ()
    if not any(owner.get("controller") and owner.get("uid") == uid for owner in owners):
        return None
    text = (config_map.get("data") or {}).get(PurePosixPath(JOB_FILE).name, "")
    try:
        return ResolvedJob.model_validate_json(text)
    except ValidationError:
        return None
