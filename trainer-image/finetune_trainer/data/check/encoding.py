"""How the text of a data file is encoded."""

import codecs
from pathlib import Path

from finetune_trainer.data.compression import DAMAGED, open_bytes, suffix_of
from finetune_trainer.data.reading import PARQUET_SUFFIXES

CHUNK_BYTES = 1 << 20


def encoding_of(path: Path) -> str:
    """How a file's text is encoded, in words; compression is looked through."""
    if suffix_of(path) in PARQUET_SUFFIXES:
        return "Parquet"
    decoder = codecs.getincrementaldecoder("utf-8")()
    ascii_only, start = True, b""
    try:
        with open_bytes(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                start = start or chunk[:4]
                ascii_only = ascii_only and chunk.isascii()
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "UTF-16; must be UTF-8"
        return "not UTF-8"
    except DAMAGED:
        return "unreadable"
    if ascii_only:
        return "ASCII"
    return "UTF-8 with a byte order mark" if start.startswith(codecs.BOM_UTF8) else "UTF-8"
