"""The volumes of a training pod, each with the place where the trainer finds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from finetune_api import FineTuneJob
from finetune_api.dataset import DataSource
from finetune_api.kubernetes import Volume
from finetune_api.resolved import (
    CONFIG_MOUNT,
    DATA_MOUNT,
    OUTPUT_MOUNT,
    STORAGE_MOUNT,
    TOKEN_FILE,
    TOKEN_MOUNT,
    attempt_name,
    benchmark_part,
)
from finetune_operator import labels
from finetune_operator.plan import Manifest
from finetune_operator.rendering.config import RenderConfig

CACHE_MOUNT = "/finetune/cache"
SCRATCH_MOUNT = "/tmp"  # noqa: S108 - an emptyDir of the pod's own
SHARED_MEMORY_MOUNT = "/dev/shm"  # noqa: S108 - an emptyDir of the pod's own


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """A volume of the pod and its mount in the trainer's container."""

    volume: Manifest
    mount: Manifest


def mounted_volumes(job: FineTuneJob, attempt: int, config: RenderConfig) -> list[MountedVolume]:
    """All volumes of an attempt's pods: ours first, then those of data and models, then the user's."""
    spec = job.spec
    storage = spec.checkpoints.storage
    claim = storage.claim_name or labels.storage_claim_name(job.metadata.name)
    volumes = [
        _mounted("config", CONFIG_MOUNT, _config_map(attempt_name(job.metadata.name, attempt))),
        _mounted("token", TOKEN_MOUNT, _projected_token(job, config)),
        _mounted("scratch", SCRATCH_MOUNT, {"emptyDir": {}}, read_only=False),
        _mounted(
            "shared-memory",
            SHARED_MEMORY_MOUNT,
            {"emptyDir": {"medium": "Memory", "sizeLimit": spec.resources.shared_memory}},
            read_only=False,
        ),
        _mounted("storage", STORAGE_MOUNT, _claim(claim), read_only=False),
    ]
    if spec.output.storage is not None and spec.output.storage.claim_name is not None:
        output = _claim(spec.output.storage.claim_name)
        volumes.append(_mounted("output", OUTPUT_MOUNT, output, read_only=False))
    volumes += _data_volume("train", spec.dataset.train)
    if spec.dataset.eval is not None:
        volumes += _data_volume("eval", spec.dataset.eval)
    for number, benchmark in enumerate(spec.evaluation.benchmarks):
        if benchmark.prompts is not None:
            volumes += _data_volume(benchmark_part(number), benchmark.prompts)
    if spec.model.cache is not None:
        cache = _claim(spec.model.cache.claim_name)
        volumes.append(
            _mounted("cache", CACHE_MOUNT, cache, read_only=False, sub_path=spec.model.cache.sub_path)
        )
    volumes += [_user_volume(volume) for volume in spec.resources.volumes]
    return _attached_read_only_where_nothing_writes(volumes)


def _attached_read_only_where_nothing_writes(volumes: list[MountedVolume]) -> list[MountedVolume]:
    """Attach a claim read-only when all its mounts are.

    Some drivers want that of a volume that many nodes read. But a claim that one pod mounts twice, say for
    the base model and for the checkpoints, is attached once, and read-only for both if either asked for it.
    """
    written = {_claim_name(each) for each in volumes if "readOnly" not in each.mount}
    for each in volumes:
        name = _claim_name(each)
        if name is not None and name not in written:
            each.volume["persistentVolumeClaim"]["readOnly"] = True
    return volumes


def _claim_name(mounted: MountedVolume) -> str | None:
    claim = mounted.volume.get("persistentVolumeClaim")
    return claim["claimName"] if claim is not None else None


def _data_volume(role: str, source: DataSource) -> list[MountedVolume]:
    directory = f"{DATA_MOUNT}/{role}"
    if source.pvc is not None:
        return [_mounted(f"data-{role}", directory, _claim(source.pvc.claim_name))]
    if source.config_map is not None:
        key = source.config_map.key
        items = [{"key": key, "path": key}]
        return [_mounted(f"data-{role}", directory, _config_map(source.config_map.name, items))]
    return []


def _user_volume(volume: Volume) -> MountedVolume:
    # The prefix keeps a user's volume named `token` apart from ours.
    name = f"user-{volume.name}"[:63].rstrip("-")
    if volume.claim_name is not None:
        source = _claim(volume.claim_name)
    elif volume.config_map is not None:
        source = _config_map(volume.config_map)
    else:
        source = {"secret": {"secretName": volume.secret}}
    return _mounted(name, volume.mount_path, source, read_only=volume.read_only, sub_path=volume.sub_path)


def _mounted(
    name: str, path: str, source: Manifest, *, read_only: bool = True, sub_path: str | None = None
) -> MountedVolume:
    mount: Manifest = {"name": name, "mountPath": path}
    if read_only:
        mount["readOnly"] = True
    if sub_path is not None:
        mount["subPath"] = sub_path
    return MountedVolume({"name": name, **source}, mount)


def _claim(name: str) -> Manifest:
    return {"persistentVolumeClaim": {"claimName": name}}


def _config_map(name: str, items: list[Manifest] | None = None) -> Manifest:
    source: Manifest = {"name": name}
    if items is not None:
        source["items"] = items
    return {"configMap": source}


def _projected_token(job: FineTuneJob, config: RenderConfig) -> Manifest:
    """A ServiceAccount token that is good for reporting on this job, and for nothing else."""
    token = {
        "audience": token_audience(job.metadata.namespace, job.metadata.name),
        "expirationSeconds": config.token_expiration_seconds,
        "path": PurePosixPath(TOKEN_FILE).name,
    }
    return {"projected": {"sources": [{"serviceAccountToken": token}]}}


def token_audience(namespace: str, job: str) -> str:
    """The audience of the tokens with which the pods of one job report."""
    return f"{labels.GROUP}/{namespace}/{job}"
