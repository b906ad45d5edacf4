"""Optimizer steps and tokens of a job: exact where the data set is counted, else a stated assumption."""

import math
from dataclasses import dataclass
from typing import Final

from finetune_api.estimate.drawing import ANSWERED
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import PAIRED_STAGES, drawn_answers
from finetune_api.job import FineTuneJob, processes_per_node

ASSUMED_RECORDS: Final = Range(1_000, 10_000, 100_000)
"""Records of a data set that nobody has counted; orders of magnitude, for want of better."""
ASSUMED_FILL: Final = Range(0.15, 0.4, 1.0)
"""Length of a mean record as a share of training.maxSequenceLength, where nobody has counted tokens."""

SIDES: Final = 2
"""Sequences of a record of which one answer is chosen and one rejected."""
DRAWN_STAGES: Final = frozenset({"grpo", "ppo"})
"""Stages that learn from answers which the model draws."""


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
    numbers: str
    """How the expected number of steps came about: its formula with numbers."""

    @property
    def exact(self) -> bool:
        """Whether the number of steps is counted rather than assumed."""
        return self.steps.low == self.steps.high


def steps(job: FineTuneJob, records: int | None = None, tokens: int | None = None) -> Steps:
    """Steps of a job whose training data has `records` records with `tokens` tokens together (None: unknown).
    Pairs of answers are one record with the tokens of both; records of `grpo` and `ppo` are prompts.

    The trainer fills up the last batch of an epoch, so that an epoch has ⌈sequences / effective batch⌉ steps;
    a fraction of an epoch is rounded up. `pretrain` cuts one stream of all documents into sequences of
    training.maxSequenceLength; packed records share such sequences. Raises `ValueError` for tokens whose
    records nobody has counted, or that are fewer than these.
    """
    if tokens is not None and (records is None or tokens < records):
        counted = "nobody has counted the records" if records is None else f"there are {records} records"
        raise ValueError(
            f"tokens: {tokens}, but {counted}; each has at least one token. Count both, or leave tokens out."
        )
    training, dataset = job.spec.training, job.spec.dataset
    longest = training.max_sequence_length
    batch = _effective_batch(job)
    notes: list[str] = []
    length = _length(job, records, tokens, notes)
    number, full = Range.exactly(training.max_steps or 0), Range.exactly(longest)
    numbers = "training.maxSteps"
    if training.max_steps is None:
        count = _records(job, records, notes)
        if training.stage == "pretrain":
            count = count.times(length).map(lambda value: math.ceil(value / longest))
        if dataset.eval is None and dataset.eval_split:
            count = count.map(lambda value: value - max(1, round(value * dataset.eval_split)))
        if dataset.packing:
            count = _packs(count, length, longest, notes)
        group, passes = _group_and_passes(job)
        per_step = max(1, batch // group)
        number = count.map(lambda value: math.ceil(training.epochs * math.ceil(value / per_step) * passes))
        numbers = f"⌈{training.epochs:g} × ⌈{count.expected:,.0f} / {per_step}⌉ × {passes}⌉"
    if training.stage in DRAWN_STAGES:
        drawn = drawn_answers(job.spec)
        most = drawn.sampling.max_new_tokens if drawn else 0
        notes.append(f"answers have the {most} tokens of sampling.maxNewTokens, a quarter in the low bound")
        answers = ANSWERED.map(lambda share: share * most)
        length = length.plus(answers).map(lambda tokens: min(longest, tokens))
    if dataset.packing or training.stage == "pretrain":
        length = full
    sides = SIDES if training.stage in PAIRED_STAGES else 1
    return Steps(number, length.map(lambda value: value * batch * sides), length, tuple(notes), numbers)


def _effective_batch(job: FineTuneJob) -> int:
    training = job.spec.training
    ranks = job.spec.distributed.nodes * processes_per_node(job.spec)
    return training.sequences_per_rank * ranks


def _group_and_passes(job: FineTuneJob) -> tuple[int, int]:
    """Of stages that draw answers, a batch counts answers, of which each prompt gets a group, and each batch
    is learned from in several passes."""
    training = job.spec.training
    if training.stage == "grpo" and training.grpo is not None:
        return training.grpo.group_size, training.grpo.updates_per_batch
    if training.stage == "ppo" and training.ppo is not None:
        return 1, training.ppo.updates_per_batch
    return 1, 1


def _packs(count: Range, length: Range, longest: int, notes: list[str]) -> Range:
    """Sequences that packed records fill: at least as many as their tokens need, and less than twice that,
    since no two sequences fit into one, nor more than records.

    As many as their tokens need are expected: with records of log-normal, exponential and gamma lengths the
    trainer's best fit decreasing needs 1 % more on average and 8 % at worst, whatever their mean. Records of
    one length, a little over half a sequence, need twice as many.
    """
    notes.append("how many sequences packed records fill depends on each; `finetune data check` packs them")
    fewest = count.times(length).map(lambda value: math.ceil(value / longest))
    most = min(count.high, 2 * fewest.high)
    return Range(fewest.low, fewest.expected, most)


def _length(job: FineTuneJob, records: int | None, tokens: int | None, notes: list[str]) -> Range:
    """Tokens of a sequence; of a whole document where all are cut from one stream."""
    training = job.spec.training
    longest = training.max_sequence_length
    if records and tokens:
        sides = SIDES if training.stage in PAIRED_STAGES else 1
        mean = tokens / records / sides
        return Range.exactly(mean if training.stage == "pretrain" else min(longest, mean))
    fill = ASSUMED_FILL.map(lambda share: share * longest)
    notes.append(
        f"records have about {fill.expected:.0f} tokens ({fill.low:.0f} to {fill.high:.0f}): "
        f"{ASSUMED_FILL.expected:.0%} of training.maxSequenceLength"
    )
    return fill


def _records(job: FineTuneJob, records: int | None, notes: list[str]) -> Range:
    if records is not None:
        count = Range.exactly(records)
    else:
        count = ASSUMED_RECORDS
        notes.append(
            f"the data set has about {count.expected:,.0f} records ({count.low:,.0f} to {count.high:,.0f})"
        )
    limit = job.spec.dataset.max_samples
    return count if limit is None else count.map(lambda value: min(value, limit))
