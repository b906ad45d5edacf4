"""Data in an S3-compatible store: an object, or all objects under a prefix, fetched once into the run
directory. pyarrow speaks the protocol."""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileInfo, FileSelector, FileType, S3FileSystem

from finetune_api.dataset import S3Source
from finetune_trainer.data.cache import exclusive
from finetune_trainer.errors import OUT_OF_SPACE, DataError, StorageError, TrainerError
from finetune_trainer.files import staged_as, sync_directory, sync_tree

log = logging.getLogger(__name__)

LARGEST_BYTES = 1 << 40
CHUNK_BYTES = 8 << 20
ATTEMPTS = 3
"""How often a request is made before its failure counts."""

REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY|SIGNATURE|HTTP (status )?40[0134]", re.IGNORECASE
)
"""What pyarrow says of answers that another try would not change."""


@dataclass(frozen=True)
class Keys:
    """Who asks."""

    access: str
    secret: str = field(repr=False)


def fetch_objects(source: S3Source, directory: Path, keys: Keys | None) -> Path:
    """The object as a file, or the objects under the prefix as a directory; from an earlier rank or attempt
    where they are there already.

    Raises `DataError` for what is not there or not allowed, `TrainerError` for a store that does not answer
    or breaks off.
    """
    identity = f"{source.endpoint or ''} {source.uri}"
    name = hashlib.sha256(identity.encode("utf-8")).hexdigest()[:16]
    place = directory / name
    with exclusive(directory / f"{name}.lock") as alone:
        if not place.exists():
            with staged_as(place, alone=alone) as staged:
                _fetch(source, staged, keys)
                sync_tree(staged)
            sync_directory(directory)
    (found,) = place.iterdir()
    return found


def _fetch(source: S3Source, staged: Path, keys: Keys | None) -> None:
    """Writes what is asked for under the last part of its name."""
    key = source.uri.removeprefix("s3://").rstrip("/")
    target = staged / _local(PurePosixPath(PurePosixPath(key).name))
    try:
        store = _store(source, keys)
        for info in _objects(store, key, source):
            inside = PurePosixPath(info.path).relative_to(key)
            file = target if inside == PurePosixPath() else target / _local(inside)
            file.parent.mkdir(parents=True, exist_ok=True)
            size = _copy(store, info, file)
            if size != info.size:
                raise TrainerError(f"s3://{info.path}: the transfer ended after {size} of {info.size} bytes")
    except OSError as error:
        if error.errno in OUT_OF_SPACE and error.filename is not None:
            raise StorageError(f"{source.uri}: cannot be kept: {error}") from None
        kind = DataError if REFUSED.search(str(error)) or isinstance(error, PermissionError) else TrainerError
        raise kind(f"{source.uri}: {_told(error, keys)}") from None
    log.info("fetched %s", source.uri)


def _store(source: S3Source, keys: Keys | None) -> S3FileSystem:
    endpoint = urlsplit(source.endpoint) if source.endpoint else None
    return S3FileSystem(
        access_key=keys.access if keys else None,
        secret_key=keys.secret if keys else None,
        anonymous=source.anonymous,
        region=source.region,
        scheme=endpoint.scheme if endpoint else "https",
        endpoint_override=endpoint.netloc + endpoint.path.rstrip("/") if endpoint else None,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _objects(store: S3FileSystem, key: str, source: S3Source) -> list[FileInfo]:
    (info,) = store.get_file_info([key])
    if info.type == FileType.File:
        found = [info]
    elif info.type == FileType.Directory:
        listed = store.get_file_info(FileSelector(key, recursive=True))
        found = [item for item in listed if item.type == FileType.File]
    else:
        found = []
    if not found:
        raise DataError(f"{source.uri}: there is no such object, and none under such a prefix")
    total = sum(item.size for item in found)
    if total > LARGEST_BYTES:
        raise DataError(f"{source.uri}: holds {total} bytes, {LARGEST_BYTES} at most are fetched")
    return sorted(found, key=lambda item: str(item.path))


def _copy(store: S3FileSystem, info: FileInfo, file: Path) -> int:
    size = 0
    with store.open_input_stream(info.path) as remote, file.open("xb") as local:
        while chunk := remote.read(CHUNK_BYTES):
            local.write(chunk)
            size += len(chunk)
    return size


def _local(path: PurePosixPath) -> Path:
    """The same path in a form that stays below its directory."""
    return Path(*(re.sub(r"[^A-Za-z0-9._-]", "_", part).lstrip(".") or "_" for part in path.parts))


def _told(error: OSError, keys: Keys | None) -> str:
    """The first line of what pyarrow says, without the access key that some stores send back."""
    line = str(error).splitlines()[0]
    return line.replace(keys.access, "…").replace(keys.secret, "…") if keys else line
