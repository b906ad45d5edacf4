"""Answers that are desired or not, each by itself: the data of kto."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypedDict

import numpy as np
import torch

from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.dataset import Sample, TokenizedDataset, collate
from finetune_trainer.data.examples import Conversation, Example, Preference, last_answer, sides
from finetune_trainer.data.making import Recipe
from finetune_trainer.data.rendering import IGNORED, Renderer
from finetune_trainer.data.sieve import Sieve
from finetune_trainer.data.single import SingleDataset
from finetune_trainer.data.workers import Noted
from finetune_trainer.errors import DataError

DESIRED: Final = "true"
UNDESIRED: Final = "false"
"""Notes of sequences."""


class Judged(TypedDict):
    """One answer with its prompt."""

    sample: Sample
    desired: bool


class JudgedBatch(TypedDict):
    """Of shape (rows, longest sequence), but `desired`, of shape (rows,).

    The rows of `other_…` are prompts with the answer of the row before: what the model makes of answers that
    do not belong there is the point that kto measures rewards from.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    desired: torch.Tensor
    other_input_ids: torch.Tensor
    other_attention_mask: torch.Tensor
    other_labels: torch.Tensor


@dataclass(frozen=True)
class JudgedDataset(SingleDataset[Judged]):
    """Answers, each with `DESIRED` or `UNDESIRED` as its note."""

    max_length: int

    def __getitem__(self, index: int) -> Judged:
        known = index < len(self)
        return Judged(sample=self.records[index], desired=known and self._is_desired(index))

    @property
    def desired(self) -> list[bool]:
        """Of each answer, whether it is desired."""
        return [self._is_desired(index) for index in range(len(self))]

    def _is_desired(self, index: int) -> bool:
        return self.records.sequences[index].note == DESIRED

    def collate(self, items: Sequence[Judged], pad_id: int) -> JudgedBatch:
        """A micro-batch; each prompt is also put before the answer of the item before, the first before the
        last one's. A filler stays one, and so does the only answer of a batch."""
        samples = [item["sample"] for item in items]
        real = [sample for sample in samples if is_learned(sample)]
        moved = iter([real[-1], *real[:-1]] if len(real) > 1 else [])
        others = [
            join(sample, next(moved), self.max_length)
            if is_learned(sample) and len(real) > 1
            else self.records.filler
            for sample in samples
        ]
        rows, other = collate(samples, pad_id), collate(others, pad_id)
        return JudgedBatch(
            **rows,
            desired=torch.tensor([item["desired"] for item in items]),
            other_input_ids=other["input_ids"],
            other_attention_mask=other["attention_mask"],
            other_labels=other["labels"],
        )


def is_learned(sample: Sample) -> bool:
    """Whether anything of a sequence is learned: not of a filler."""
    return bool((sample["labels"][1:] != IGNORED).any())


def join(prompt: Sample, answer: Sample, max_length: int) -> Sample:
    """The prompt of one sequence and the answer of another."""
    start, begin = answer_start(prompt), answer_start(answer)
    ids = np.concatenate([prompt["input_ids"][:start], answer["input_ids"][begin:]])[:max_length]
    labels = np.concatenate([prompt["labels"][:start], answer["labels"][begin:]])[:max_length]
    return Sample(input_ids=ids, labels=labels)


def answer_start(sample: Sample) -> int:
    """The place of the first token that is learned."""
    return int(np.flatnonzero(sample["labels"] != IGNORED)[0])


def judged(_job: ResolvedJob, renderer: Renderer) -> Recipe[JudgedDataset]:
    """One sequence per labelled conversation, of which the last answer is judged; two per preference."""

    def wrap(records: TokenizedDataset) -> JudgedDataset:
        return JudgedDataset(records, renderer.max_length)

    return Recipe("judged", renderer, lambda: Sieve(renderer, renderer.drops), wrap, _judgements)


def _judgements(example: Example) -> Iterable[Noted]:
    if isinstance(example, Preference):
        return tuple(zip(sides(example), (DESIRED, UNDESIRED), strict=True))
    if isinstance(example, Conversation) and example.desired is not None:
        learned = replace(example, prompt_turns=last_answer(example))
        return ((learned, DESIRED if example.desired else UNDESIRED),)
    raise DataError(
        f"{example.origin}: the record does not say whether its answer is desired. Add a 'label' of true or "
        "false, or name its column in dataset.columns.label"
    )
