"""Where a job's volumes are on this machine.

In a pod, claims, ConfigMaps and Secrets are mounted at fixed places. Here each is a directory, and every
path of the job that lies in a mount is replaced by the path in that directory. The list of mounts is the
operator's own, so that a manifest means the same on both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from finetune_api import FineTuneJob, ResolvedJob
from finetune_operator.rendering.config import RenderConfig
from finetune_operator.rendering.volumes import mounted_volumes


class VolumeError(ValueError):
    """A volume that has no directory here; the text says which, and what to write."""


@dataclass(frozen=True)
class Mount:
    """A directory of this machine that stands for `path` in the pod."""

    path: PurePosixPath
    directory: Path


@dataclass(frozen=True)
class Mounts:
    """All mounts of a job that it may name in its spec."""

    mounts: tuple[Mount, ...]

    def local_path(self, path: str) -> str:
        """Return where `path` is on this machine; unchanged if it is in no mount."""
        asked = PurePosixPath(path)
        inside = [mount for mount in self.mounts if asked.is_relative_to(mount.path)]
        if not inside:
            return path
        mount = max(inside, key=lambda mount: len(mount.path.parts))
        return str(mount.directory / asked.relative_to(mount.path))

    def local_word(self, word: str) -> str:
        """Return one word of a command line with the path in it replaced (`/data/x`, `--file=/data/x`)."""
        option, equals, value = word.rpartition("=")
        return f"{option}{equals}{self.local_path(value)}"

    def localize(self, resolved: ResolvedJob) -> ResolvedJob:
        """Return the job with every path as it is on this machine."""
        paths = resolved.paths
        model = resolved.spec.model
        tokenizer = model.tokenizer
        return resolved.model_copy(
            update={
                "paths": paths.model_copy(
                    update={
                        "run_directory": self.local_path(paths.run_directory),
                        "output_directory": self.local_path(paths.output_directory),
                        "train": self._optional(paths.train),
                        "eval": self._optional(paths.eval),
                        "benchmarks": {
                            name: self.local_path(path) for name, path in paths.benchmarks.items()
                        },
                    }
                ),
                "spec": resolved.spec.model_copy(
                    update={
                        "model": model.model_copy(
                            update={
                                "path": self._optional(model.path),
                                "tokenizer": tokenizer.model_copy(
                                    update={"path": self._optional(tokenizer.path)}
                                ),
                            }
                        )
                    }
                ),
            }
        )

    def _optional(self, path: str | None) -> str | None:
        return None if path is None else self.local_path(path)


@dataclass(frozen=True)
class VolumeDirectories:
    """What the command line says about volumes: `--volume NAME=DIR`, and the parent of all others."""

    named: Mapping[str, Path]
    parent: Path

    def directory(self, name: str) -> Path:
        """Return the directory that stands for the claim, ConfigMap or Secret `name`."""
        return (self.named.get(name) or self.parent / name).absolute()


def local_mounts(
    job: FineTuneJob,
    directories: VolumeDirectories,
    config_maps: Mapping[str, Mapping[str, str]],
    scratch: Path,
    *,
    creates_claims: bool = True,
) -> Mounts:
    """Return the mounts of `job`; ConfigMaps of the manifest are written below `scratch`.

    A claim that the job writes to need not be there; with `creates_claims` it is created.

    Raises:
        VolumeError: something that the job reads is nowhere on this machine.
    """
    mounts: list[Mount] = []
    for mounted in mounted_volumes(job, 1, RenderConfig(trainer_image="", status_url="", ca_pem="")):
        if mounted.volume["name"] in {"config", "token", "scratch", "shared-memory"}:
            continue
        claim = mounted.volume.get("persistentVolumeClaim")
        if claim and not mounted.mount.get("readOnly"):
            directory = directories.directory(claim["claimName"])
            if creates_claims:
                directory.mkdir(parents=True, exist_ok=True)
        else:
            directory = _directory_to_read(mounted.volume, directories, config_maps, scratch)
        if sub_path := mounted.mount.get("subPath"):
            directory /= sub_path
        mounts.append(Mount(PurePosixPath(mounted.mount["mountPath"]), directory))
    return Mounts(tuple(mounts))


def _directory_to_read(
    volume: Mapping[str, Any],
    directories: VolumeDirectories,
    config_maps: Mapping[str, Mapping[str, str]],
    scratch: Path,
) -> Path:
    if claim := volume.get("persistentVolumeClaim"):
        name = claim["claimName"]
        return _existing(directories.directory(name), "claim", name)
    if config_map := volume.get("configMap"):
        name = config_map["name"]
        if name in config_maps and name not in directories.named:
            return _written(config_maps[name], scratch / "config-maps" / name)
        return _existing(directories.directory(name), "ConfigMap", name)
    name = volume["secret"]["secretName"]
    return _existing(directories.directory(name), "Secret", name)


def _existing(directory: Path, kind: str, name: str) -> Path:
    if not directory.is_dir():
        raise VolumeError(
            f"the job reads the {kind} {name}, and {directory} is no directory. "
            f"Write --volume {name}=DIRECTORY to say where its files are."
        )
    return directory


def _written(data: Mapping[str, str], directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for key, text in data.items():
        (directory / key).write_text(text, encoding="utf-8")
    return directory
