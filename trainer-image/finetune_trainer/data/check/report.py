"""What a check of the data finds; as plain values, which text, JSON and HTML are made of."""

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

SHOWN = 20
"""Records that a list in the report names at most; counts are always of all."""


@dataclass(frozen=True)
class DataFile:
    """A file that was read."""

    name: str
    size_bytes: int
    encoding: str
    """ASCII, UTF-8, UTF-8 with a byte order mark, Parquet, or what is wrong with it."""


@dataclass(frozen=True)
class Problem:
    """A record that cannot be used."""

    where: str
    problem: str


@dataclass(frozen=True)
class Duplicate:
    """A record that says the same as an earlier one."""

    where: str
    same_as: str


@dataclass(frozen=True)
class Column:
    """A column (or JSON key), and in how many records it is."""

    name: str
    records: int


@dataclass(frozen=True)
class Bar:
    """Records whose length in tokens is from `start` up to, but not including, `end`."""

    start: int
    end: int
    records: int


@dataclass(frozen=True)
class Lengths:
    """Tokens per record, before anything is cut."""

    shortest: int
    median: int
    mean: float
    p95: int
    longest: int
    histogram: list[Bar]


@dataclass(frozen=True)
class Part:
    """The training or the evaluation data."""

    name: str
    files: list[DataFile]
    records: int
    broken: int
    first_broken: list[Problem]
    duplicates: int
    first_duplicates: list[Duplicate]
    columns: list[Column]
    lengths: Lengths | None
    """None when no record can be rendered."""
    sequences: int
    tokens: int
    supervised_tokens: int
    truncated: int
    cut_tokens: int
    cut_supervised_tokens: int
    unsupervised: int
    first_unsupervised: list[str]
    ended: int
    """Sequences whose last answer is closed by a supervised end token."""
    continues: bool = False
    """Whether there are more records, which were not looked at."""
    drawn: bool = False
    """Whether sequences are prompts, which the model answers itself: nothing of them is supervised, and those
    that leave no room for an answer are the truncated ones, left out whole."""

    @property
    def supervised_share(self) -> float:
        """Share of the tokens that the loss counts."""
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Steps:
    """How long training takes, in optimizer steps."""

    effective_batch_size: int
    steps_per_epoch: int
    total_steps: int
    packed_sequences: int | None
    """None without packing."""
    filled_share: float
    """Real tokens by computed ones: of the packs, or of batches padded to their longest record."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a rendered sample."""

    text: str
    supervised: bool


@dataclass(frozen=True)
class RenderedSample:
    """A record as the model sees it."""

    where: str
    tokens: int
    pieces: list[Piece]


@dataclass(frozen=True)
class Remark:
    """Something to know before paying for the training."""

    severity: Literal["error", "warning", "suggestion"]
    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class DataReport:
    """The whole report."""

    job: str
    format: str
    train: Part
    eval: Part | None
    """Evaluation data of its own; None when there is none or it is held out of the training data."""
    held_out: int
    """Sequences that `dataset.evalSplit` keeps from training."""
    overlap: int
    """Evaluation records that say the same as a training record."""
    first_overlaps: list[Duplicate]
    steps: Steps | None
    """None when nothing can be trained on."""
    samples: list[RenderedSample]
    remarks: list[Remark]

    @property
    def is_usable(self) -> bool:
        """Whether training on this data would begin."""
        return not any(remark.severity == "error" for remark in self.remarks)


def to_json(value: object) -> object:
    """The report as JSON values, with names in camelCase."""
    if is_dataclass(value):
        return {_camel(field.name): to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)
