"""Names content by its hash, and packs the layer of our code."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from finetune_images.dockerfile import Stage
from finetune_images.errors import ImageError

TAG_LENGTH = 12
"""Hexadecimal digits of a hash that make a tag: 48 bits."""

_IGNORED = {"__pycache__"}


def tag(*parts: str | bytes) -> str:
    """A tag that changes whenever one of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:TAG_LENGTH]


def files(root: Path, path: str) -> Iterator[tuple[str, Path]]:
    """Every file at `path` under `root`, sorted: its name below `path` ("" for itself) and where it lies.

    What Python or an editor leaves beside the sources is no content.

    Raises:
        ImageError: there is nothing of that name.
    """
    start = root / path
    if start.is_file():
        yield "", start
    elif start.is_dir():
        for found in sorted(start.rglob("*")):
            name = found.relative_to(start)
            hidden = any(part in _IGNORED or part.startswith(".") for part in name.parts)
            if found.is_file() and not hidden:
                yield name.as_posix(), found
    else:
        raise ImageError(f"{path}: a Dockerfile reads it, and it is not in the repository ({root})")


def inputs_tag(stages: Iterable[Stage], root: Path, *more: str) -> str:
    """A tag for what the stages make: their instructions, and the content of all files that these read."""
    stages = list(stages)
    read = sorted({path for stage in stages for path in stage.context_paths()})
    contents = [
        part for path in read for name, file in files(root, path) for part in (path, name, file.read_bytes())
    ]
    return tag(*more, *(repr(stage) for stage in stages), *contents)


def code_layer(stage: Stage, root: Path) -> bytes:
    """The stage's files as an uncompressed layer: same content, same bytes, whenever and wherever packed.

    Raises:
        ImageError: the stage does more than copy files of the repository onto nothing.
    """
    if stage.base != "scratch" or any(
        step.keyword != "COPY" or step.flag("from") is not None for step in stage.instructions
    ):
        raise ImageError(
            f"stage {stage.name!r} of the Dockerfile must start FROM scratch and only COPY files"
        )
    members: dict[str, Path | None] = {}
    for step in stage.instructions:
        (source,), destination = step.copies()
        for name, file in files(root, source):
            target = Path(destination.strip("/"), name)
            members |= {parent.as_posix(): None for parent in target.parents if parent.name}
            members[target.as_posix()] = file
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member, origin in sorted(members.items()):
            _add(archive, member, origin)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, origin: Path | None) -> None:
    entry = tarfile.TarInfo(name)
    if origin is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
        return
    data = origin.read_bytes()
    entry.size, entry.mode = len(data), 0o755 if origin.stat().st_mode & 0o100 else 0o644
    archive.addfile(entry, io.BytesIO(data))
