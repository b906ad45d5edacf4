"""Types of arguments: names of objects, durations, counts."""

import argparse
import math
import re
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_JOB_KINDS: Final = (
    "ftj",
    "finetunejob",
    "finetunejobs",
    "finetunejob.finetune.dev",
    "finetunejobs.finetune.dev",
)
_DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_SECONDS: Final = (3600, 60, 1)


def job_name(word: str) -> str:
    """The name of a job: as it is, or as `-o name` prints it (`finetunejob.finetune.dev/NAME`).

    Raises `argparse.ArgumentTypeError` for what is no name of an object, such as a path.
    """
    kind, slash, name = word.rpartition("/")
    if slash and kind.lower() not in _JOB_KINDS:
        raise argparse.ArgumentTypeError(f"{word!r}: write the name of a FineTuneJob")
    return object_name(name)


def object_name(word: str) -> str:
    """The word, which is the name of an object or a namespace. Raises `argparse.ArgumentTypeError`."""
    if not _NAME.fullmatch(word):
        raise argparse.ArgumentTypeError(f"{word!r} is no name: lower-case letters, digits, '-' and '.'")
    return word


def duration(word: str) -> float:
    """Seconds: `90`, or as kubectl writes them, `90s`, `5m`, `1h30m`. Raises `argparse.ArgumentTypeError`."""
    found = _DURATION.fullmatch(word)
    seconds = math.inf
    if found is not None and any(found.groups()):
        seconds = sum(float(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part)
    if not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{word!r}: write seconds, or a time such as 90s, 5m or 1h30m")
    return seconds


def count(word: str) -> int:
    """A whole number from 1, as in 1000 or 1_000. Raises `argparse.ArgumentTypeError`."""
    digits = word.replace("_", "")
    if not re.fullmatch(r"0*[1-9][0-9]{,14}", digits):
        raise argparse.ArgumentTypeError(f"{word!r}: write a whole number from 1, of at most 15 digits")
    return int(digits)
