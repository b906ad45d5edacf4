"""Files that commands write."""

import os
from pathlib import Path

from finetune_cli.errors import CommandError


def new_file(name: str | None, *, force: bool) -> Path | None:
    """Return the file to write; None for standard output (absent, or `-`).

    Raises `CommandError` for one that is there already, unless `force` is given.
    """
    if name in (None, "", "-"):
        return None
    target = Path(str(name))
    if target.exists() and not force:
        raise CommandError(f"{target} is there already; --force overwrites it")
    return target


def put(text: str, target: Path | None) -> None:
    """Write the text to the file that `new_file` returned. Raises `CommandError`."""
    if target is None:
        print(text, end="")
    else:
        write_whole(target, text)


def is_stream(target: Path) -> bool:
    """Whether it is no file to replace, such as /dev/stdout or a pipe."""
    return target.exists() and not target.is_file() and not target.is_dir()


def write_whole(target: Path, text: str) -> None:
    """Write the file whole or not at all: a reader, or a run that is stopped, never leaves half of it.

    A stream is written to as it is. Raises `CommandError`.
    """
    try:
        if is_stream(target):
            target.write_text(text, encoding="utf-8")
            return
        place = target.resolve()
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        remedy = (
            f"Make the directory first: mkdir -p {target.parent}"
            if isinstance(error, FileNotFoundError)
            else "Name a file in a directory that you may write to"
        )
        raise CommandError(f"{target}: can't be written: {error.strerror or error}. {remedy}") from None
