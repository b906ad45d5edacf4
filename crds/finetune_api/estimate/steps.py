"""Optimizer steps and tokens of a job: exact where the data set is counted, else a stated assumption."""

import math
from dataclasses import dataclass
from typing import Final

from finetune_api.estimate.ranges import Range
from finetune_api.job import FineTuneJob, processes_per_node

ASSUMED_RECORDS: Final = Range(1_000, 10_000, 100_000)
"""Records of a data set that nobody has counted; orders of magnitude, for want of better."""
ASSUMED_FILL: Final = Range(0.15, 0.4, 1.0)
"""Length of a mean record as a share of training.maxSequenceLength, where nobody has counted tokens."""


@dataclass(frozen=True)
class Steps:
    """How much a job trains."""

    steps: Range
    """Optimizer steps."""
    tokens_per_step: Range
    """Tokens of all ranks in one step, padding left out."""
    length: Range
    """Mean length of a sequence, in tokens."""
    assumptions: tuple[str, ...]
    """What was assumed, in words; empty where everything is counted."""

    @property
    def exact(self) -> bool:
        """Whether the number of steps is counted rather than assumed."""
        return self.steps.low == self.steps.high


def steps(job: FineTuneJob, records: int | None = None, tokens: int | None = None) -> Steps:
    """Steps of a job whose training data has `records` records with `tokens` tokens together (None: unknown).

    The trainer pads the last batch of an epoch, so that an epoch has ⌈records / effective batch⌉ steps; a
    fraction of an epoch is rounded up. Packed records fill sequences of training.maxSequenceLength.
    """
    spec = job.spec
    training, dataset = spec.training, spec.dataset
    ranks = spec.distributed.nodes * processes_per_node(spec)
    batch = training.micro_batch_size * training.gradient_accumulation_steps * ranks
    longest = training.max_sequence_length
    notes: list[str] = []
    length = _length(records, tokens, longest, notes)
    count = _records(job, records, notes) if training.max_steps is None else None
    if dataset.packing:
        packed_length = Range.exactly(longest)
        if count is not None:
            count = Range(*(
                math.ceil(number * mean / longest)
                for number, mean in (
                    (count.low, length.low), (count.expected, length.expected), (count.high, length.high)
                )
            ))  # fmt: skip
        length = packed_length
    if training.max_steps is not None:
        number = Range.exactly(training.max_steps)
    elif count is not None:
        number = count.map(lambda value: math.ceil(training.epochs * math.ceil(value / batch)))
    return Steps(number, length.map(lambda value: value * batch), length, tuple(notes))


def _length(records: int | None, tokens: int | None, longest: int, notes: list[str]) -> Range:
    if records and tokens:
        return Range.exactly(min(longest, tokens / records))
    fill = ASSUMED_FILL.map(lambda share: share * longest)
    notes.append(
        f"records have about {fill.expected:.0f} tokens ({fill.low:.0f} to {fill.high:.0f}): "
        f"{ASSUMED_FILL.expected:.0%} of training.maxSequenceLength"
    )
    return fill


def _records(job: FineTuneJob, records: int | None, notes: list[str]) -> Range:
    dataset = job.spec.dataset
    if records is not None:
        count = Range.exactly(records)
    else:
        count = ASSUMED_RECORDS
        notes.append(
            f"the data set has about {count.expected:,.0f} records ({count.low:,.0f} to {count.high:,.0f})"
        )
    if dataset.max_samples is not None:
        limit = dataset.max_samples
        count = count.map(lambda value: min(value, limit))
    if dataset.eval is None and dataset.eval_split:
        count = count.map(lambda value: value - math.floor(value * dataset.eval_split))
    return count
