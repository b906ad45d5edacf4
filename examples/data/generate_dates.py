"""Write the date data set: free-form dates in, ISO 8601 out.

    python examples/data/generate_dates.py      # rewrites dates-train.jsonl and dates-heldout.jsonl

Each record is in the alpaca format (`instruction`, `input`, `output`). The set is drawn from a seeded
generator, so the committed files can be made again byte for byte. No calendar date and no input text is in
both files, and one held-out record in four is worded as no training record is.

Only unambiguous forms are used: the month is a word, or the order is fixed by convention (`2021/03/05` is
year first, `05.03.2021` is day first). Forms such as `03/05/2021` mean two things, so they are left out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

INSTRUCTION = "Give the ISO date."
FIRST_DAY = date(1950, 1, 1)
LAST_DAY = date(2049, 12, 31)
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# How a date itself is written. strftime is not used: its words depend on the locale.
FORMS: tuple[Callable[[date], str], ...] = (
    lambda d: f"{_month(d)} {d.day}, {d.year}",
    lambda d: f"{_month(d)} {_ordinal(d.day)}, {d.year}",
    lambda d: f"{_month(d)[:3]} {d.day}, {d.year}",
    lambda d: f"{d.day} {_month(d)} {d.year}",
    lambda d: f"{d.day} {_month(d)[:3]} {d.year}",
    lambda d: f"{d.day}-{_month(d)[:3]}-{d.year}",
    lambda d: f"the {_ordinal(d.day)} of {_month(d)}, {d.year}",
    lambda d: f"{_weekday(d)}, {_month(d)} {d.day}, {d.year}",
    lambda d: f"{_weekday(d)[:3]}, {d.day:02d} {_month(d)[:3]} {d.year}",
    lambda d: f"{d.year} {_month(d)} {d.day}",
    lambda d: f"{d.year}/{d.month:02d}/{d.day:02d}",
    lambda d: f"{d.day:02d}.{d.month:02d}.{d.year}",
)

# What stands around it. The bare date is listed several times because it is the most common input.
TRAINING_FRAMES = (
    "{}", "{}", "{}", "{}",
    "on {}", "due {}", "since {}", "until {}", "Born {}", "Signed {}",
    "Dated {}.", "Paid on {}.", "It ended {}.", "We met on {}.", "Released {}", "as of {}",
)  # fmt: skip
HELD_OUT_FRAMES = ("before {}", "Sent on {}.", "Opened {}", "It began {}.")


def _month(day: date) -> str:
    return MONTHS[day.month - 1]


def _weekday(day: date) -> str:
    return WEEKDAYS[day.weekday()]


def _ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, 11th, 21st, …"""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _record(day: date, frames: tuple[str, ...], draw: random.Random) -> dict[str, str]:
    text = draw.choice(frames).format(draw.choice(FORMS)(day))
    return {"instruction": INSTRUCTION, "input": text, "output": day.isoformat()}


def generate(training: int, held_out: int, seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return (training records, held-out records), disjoint by calendar date and so by text."""
    draw = random.Random(seed)  # noqa: S311 - reproducible data, nothing secret
    days = list(_days())
    draw.shuffle(days)
    unseen, seen = days[:held_out], days[held_out:]
    heldout_records = [
        _record(day, HELD_OUT_FRAMES if index % 4 == 0 else TRAINING_FRAMES, draw)
        for index, day in enumerate(unseen)
    ]
    training_records = [_record(draw.choice(seen), TRAINING_FRAMES, draw) for _ in range(training)]
    return training_records, heldout_records


def _days() -> Iterator[date]:
    for offset in range((LAST_DAY - FIRST_DAY).days + 1):
        yield FIRST_DAY + timedelta(days=offset)


def write(path: Path, records: list[dict[str, str]]) -> None:
    """Write one JSON object per line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def main() -> None:
    """Write both files."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--training", type=int, default=5000, help="number of training records")
    parser.add_argument("--held-out", type=int, default=200, help="number of held-out records")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--directory", type=Path, default=here, help="where the two files go")
    arguments = parser.parse_args()
    training, held_out = generate(arguments.training, arguments.held_out, arguments.seed)
    write(arguments.directory / "dates-train.jsonl", training)
    write(arguments.directory / "dates-heldout.jsonl", held_out)


if __name__ == "__main__":
    main()
