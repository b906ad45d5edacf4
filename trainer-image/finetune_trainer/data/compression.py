"""Compressed files read as if they were not: gzip, bzip2, xz, zstd."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def suffix_of(path: Path) -> str:
    """The suffix that says what a file holds: `.jsonl` for `train.jsonl.gz`; lower case."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def open_bytes(path: Path) -> IO[bytes]:
    """The file's content, decompressed while it is read.

    Damaged files raise one of `DAMAGED` when they are read.
    """
    openers: dict[str, Callable[[Path], object]] = {
        ".gz": gzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
        ".zst": _open_zstd,
    }
    return cast("IO[bytes]", openers.get(path.suffix.lower(), _open_plain)(path))


DAMAGED = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""What reading a damaged or unreadable file raises. pyarrow and bz2 raise OSError."""


def _open_plain(path: Path) -> object:
    return path.open("rb")


def _open_zstd(path: Path) -> object:
    # Python 3.11 has no zstd of its own
    import io

    import pyarrow as pa

    # pyarrow's stream has no readline; a buffered reader over it has
    return io.BufferedReader(cast("io.RawIOBase", pa.input_stream(str(path), compression="zstd")))
