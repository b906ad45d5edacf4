"""What a terminal gets to see: UTF-8, and of a stranger's text no more than its characters and colours."""

import io
import os
import re
import sys
from typing import Final

from finetune_api.printable import printable

_COLOUR: Final = re.compile(r"(\x1b\[[0-9;:]*m)")
_UNCOLOURED: Final = "\x1b[0m"


def write_utf8() -> None:
    """Let the program write UTF-8 whatever the locale says, as kubectl does: what it writes is read by other
    programs too, and a locale that has no arrow must not stop it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def stop_writing() -> None:
    """Let what is still to be written to standard output go nowhere.

    Nobody takes it, and the interpreter would try once more, and complain, when it ends.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def log_line(line: str, *, colours: bool) -> str:
    """A line of a program's output as a terminal may see it.

    Of a progress bar that was drawn over and over, the last state; colours, unless they are not wanted; tabs.
    Any other escape (one that moves the cursor, sets the title or the clipboard) becomes blanks.
    """
    last = line.rstrip("\r").rpartition("\r")[2]
    parts = _COLOUR.split(last)
    shown = "".join(
        part if index % 2 else "\t".join(map(printable, part.split("\t")))
        for index, part in enumerate(parts)
        if colours or index % 2 == 0
    )
    return f"{shown}{_UNCOLOURED}" if colours and len(parts) > 1 else shown
