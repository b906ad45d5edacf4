"""Checkpoints that are whole or not there: committed by a rename, proved by a manifest, kept by a rule.

<run directory>/checkpoints/
    .writing/checkpoint-100/    what transformers writes; never resumed from
    step-00000100/              committed
        manifest.json           step, lineage, world size, metric, and the hash of every file
"""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from finetune_api.status import BestCheckpointRef, CheckpointRef, CheckpointsStatus
from finetune_trainer.checkpoints.manifest import MANIFEST, Manifest, refuse_newer
from finetune_trainer.errors import InvalidConfigError, StorageError
from finetune_trainer.files import (
    FileEntry,
    describe_files,
    sync_directory,
    sync_tree,
    what_is_wrong,
    write_over,
)
from finetune_trainer.paths import volume_path

log = logging.getLogger(__name__)

STAGING = ".writing"
NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """A committed checkpoint."""

    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """The optimizer step that it holds."""
        return self.manifest.step

    def ref(self) -> CheckpointRef:
        """How the status speaks of it."""
        return CheckpointRef(
            step=self.step,
            path=volume_path(self.path),
            complete=True,
            time=self.manifest.time,
            bytes=self.manifest.bytes,
        )

    def best_ref(self) -> BestCheckpointRef:
        """How the status speaks of the best one. It must have a metric."""
        if self.manifest.metric is None or self.manifest.value is None:
            raise ValueError(f"{self.path.name} has no metric")
        return BestCheckpointRef(
            **dict(self.ref()), metric=self.manifest.metric, value=f"{self.manifest.value:.6g}"
        )


class CheckpointStore:
    """The checkpoints of one run directory. Only rank 0 changes them; any rank may read."""

    def __init__(self, run_directory: Path, *, keep: int, greater_is_better: bool) -> None:
        self.directory = run_directory / "checkpoints"
        self.staging = self.directory / STAGING
        self.keep = keep
        self.greater_is_better = greater_is_better
        self._identity: tuple[int, int] | None = None
        self._torn: set[Path] = set()
        """Checkpoints whose files were looked at and are not what was written. They count for nothing, and
        are removed once another one is committed."""

    def prepare(self) -> None:
        """Makes the directories, and removes what an earlier attempt left half-written. Raises
        `StorageError`."""
        try:
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir(parents=True)
            self._identity = self._where()
        except OSError as error:
            raise StorageError(
                f"checkpoints.storage: {self.directory} cannot be written: {error.strerror}. Check the "
                "claim's access mode and the volume's ownership (the trainer runs as user and group 1000)"
            ) from error

    def reserve(self, staged: Path, manifest: Manifest) -> None:
        """Takes the room of the manifest of a directory that all ranks have written, so that a volume that
        fills up during the commit does not cost the checkpoint. Raises `OSError`."""
        unhashed = [
            FileEntry(path=path.relative_to(staged).as_posix(), bytes=path.stat().st_size, sha256="0" * 64)
            for path in staged.rglob("*")
            if path.is_file()
        ]
        text = manifest.model_copy(update={"files": unhashed}).model_dump_json(indent=2)
        (staged / MANIFEST).write_text(text + "\n", encoding="utf-8")

    def commit(self, staged: Path, manifest: Manifest) -> Checkpoint:
        """Makes a directory that all ranks have written a checkpoint: hash, flush, rename; then removes the
        oldest.

        Raises `StorageError`; what was there before is still there then.
        """
        target = self.directory / manifest.name
        try:
            if self._identity not in (None, self._where()):
                raise StorageError(
                    f"checkpoints.storage: {self.directory} is no longer the volume that it was at the "
                    "start of the attempt. Check the node's mounts and the claim"
                )
            files = [entry for entry in describe_files(staged) if entry.path != MANIFEST]
            complete = manifest.model_copy(update={"files": files})
            if (flaw := complete.flaw(target.name)) is not None:
                raise StorageError(
                    f"checkpoint {target} is not committed: {flaw}. All ranks must write to the same volume"
                )
            sync_tree(staged)
            write_over(staged / MANIFEST, complete.model_dump_json(indent=2) + "\n")
            sync_directory(staged)
            replaced = self._take_away(target) if target.exists() else None
            staged.rename(target)
            sync_directory(self.directory)
            if replaced is not None:
                shutil.rmtree(replaced)
            self._torn.discard(target)
            self._rotate()
        except OSError as error:
            raise StorageError(f"checkpoint {target} cannot be written: {error}") from error
        return Checkpoint(target, complete)

    def all(self) -> list[Checkpoint]:
        """Committed checkpoints with a manifest of their own that are not known to be torn, oldest first.
        Their files are not looked at.

        Raises `InvalidConfigError` for one that a newer trainer has written: to pass it over would begin its
        run anew.
        """
        found = []
        for path in self._committed():
            if path in self._torn:
                continue
            try:
                manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
            except (OSError, ValidationError) as error:
                refuse_newer(path)
                flaw: str | None = f"its manifest cannot be read ({type(error).__name__})"
            else:
                flaw = manifest.flaw(path.name)
            if flaw is None:
                found.append(Checkpoint(path, manifest))
            else:
                log.warning("checkpoint %s is skipped: %s", path.name, flaw)
        return found

    def is_whole(self, checkpoint: Checkpoint, *, skipped: Callable[[str], None] = log.warning) -> bool:
        """Whether its files are what was written. If not, it is named to `skipped`, and from then on it is
        neither counted nor told of."""
        problem = what_is_wrong(checkpoint.path, checkpoint.manifest.files)
        if problem is None:
            return True
        self._torn.add(checkpoint.path)
        skipped(f"checkpoint {checkpoint.path.name} is skipped: {problem}")
        return False

    def newest_whole(
        self, lineage: str, *, skipped: Callable[[str], None] = log.warning
    ) -> Checkpoint | None:
        """The newest checkpoint whose files are what was written; torn ones are named to `skipped` and passed
        over.

        Raises `InvalidConfigError` when the directory holds checkpoints of another run.
        """
        checkpoints = self.all()
        strangers = [checkpoint for checkpoint in checkpoints if checkpoint.manifest.lineage != lineage]
        if strangers:
            raise InvalidConfigError(
                f"checkpoints: {volume_path(self.directory)} holds checkpoints of another run "
                f"({strangers[-1].path.name} of job {strangers[-1].manifest.job}: other model, method, data, "
                "training settings or sequences per optimizer step). Set checkpoints.storage.subPath to a "
                "new directory, or checkpoints.resume: never to set them aside"
            )
        newest_first = reversed(checkpoints)
        return next((found for found in newest_first if self.is_whole(found, skipped=skipped)), None)

    def best(self) -> Checkpoint | None:
        """The checkpoint with the best metric; the earlier one of two that are equal. None without a metric.

        Where attempts were asked to measure different metrics, the newest one counts: values of two say
        nothing beside one another."""
        sign = 1 if self.greater_is_better else -1
        scored = [checkpoint for checkpoint in self.all() if checkpoint.manifest.value is not None]
        scored = [each for each in scored if each.manifest.metric == scored[-1].manifest.metric]
        return max(
            scored,
            key=lambda checkpoint: (sign * (checkpoint.manifest.value or 0.0), -checkpoint.step),
            default=None,
        )

    def latest(self) -> Checkpoint | None:
        """The newest committed checkpoint."""
        return max(self.all(), key=lambda checkpoint: checkpoint.step, default=None)

    def set_aside(self, now: datetime) -> Path | None:
        """Renames the directory, so that a run starts afresh and nothing is lost; None when there is
        nothing."""
        if not self._committed():
            return None
        target = self.directory.with_name(f"checkpoints-before-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        self.directory.rename(target)
        return target

    def _where(self) -> tuple[int, int]:
        """Device and inode: another volume, or none, in the same place has others."""
        place = self.directory.stat()
        return place.st_dev, place.st_ino

    def _committed(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return sorted(path for path in self.directory.iterdir() if NAME.fullmatch(path.name))

    def _rotate(self) -> None:
        checkpoints = self.all()
        best = self.best()
        kept = {checkpoint.path for checkpoint in checkpoints[-self.keep :]} | (
            {best.path} if best else set()
        )
        superseded = {checkpoint.path for checkpoint in checkpoints} - kept | self._torn
        for path in self._committed():
            if path in superseded:
                shutil.rmtree(self._take_away(path))
        self._torn.clear()

    def _take_away(self, path: Path) -> Path:
        """Renames what is to be deleted, so that a half-deleted one is never taken for a checkpoint."""
        doomed = self.staging / f"old-{path.name}"
        return path.rename(doomed)


def checkpoints_status(store: CheckpointStore) -> CheckpointsStatus:
    """Latest and best checkpoint, for the status."""
    latest, best = store.latest(), store.best()
    return CheckpointsStatus(latest=latest.ref() if latest else None, best=best.best_ref() if best else None)
