"""From an example to token ids and labels: the chat template applied once, the loss on what was asked for,
exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from finetune_api.dataset import PreprocessingSpec
from finetune_trainer.data.answers import render_with_answers
from finetune_trainer.data.examples import (
    Document,
    Example,
    Json,
    Message,
    Origin,
    Preference,
    last_answer,
)
from finetune_trainer.data.template import Span
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.model.tokenizers import Tokenizer

IGNORED = -100
"""The label of a token that the loss does not count; PyTorch's `ignore_index`."""

BATCH = 1000
"""Examples that are tokenised together."""

Ids = npt.NDArray[np.int32]
Supervise = Literal["answers", "lastAnswer", "all"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence: token ids and, of the same length, labels (`IGNORED` where nothing is learned)."""

    ids: Ids
    labels: Ids
    origin: Origin
    cut: int = 0
    """Tokens that the length limit cut off."""
    cut_supervised: int = 0
    """Those of them that the loss would have counted."""
    note: str = ""
    """What the stage must know of the sequence beside its tokens, as JSON; empty for most."""

    @property
    def supervised(self) -> int:
        """Labels that the loss counts: the first token of a sequence is never predicted."""
        return int((self.labels[1:] != IGNORED).sum())


@dataclass(frozen=True)
class Renderer:
    """Turns examples into tokens, in the way that the spec asks for."""

    tokenizer: Tokenizer
    preprocessing: PreprocessingSpec
    max_length: int
    supervise: Supervise
    limit: str = "training.maxSequenceLength"
    """What `max_length` comes from, in words."""

    @property
    def drops(self) -> bool:
        """Whether examples that are too long are to be left out."""
        return self.preprocessing.overlong == "drop"

    def __call__(self, example: Example) -> Tokens:
        """Raises `DataError` for an example that is too long where that is to fail, `InvalidConfigError` for
        a template that cannot be used."""
        return self.all([example])[0]

    def all(self, examples: Sequence[Example]) -> list[Tokens]:
        """Many at a time: the tokenizer gives each core its share of a batch. Raises as for one."""
        return [
            tokens
            for start in range(0, len(examples), BATCH)
            for tokens in self._batch(examples[start : start + BATCH])
        ]

    def is_end(self, token: int) -> bool:
        """Whether a token can end an answer: the end token, or a special one that the template closes turns
        with."""
        return token == self.tokenizer.eos_token_id or token in self._special_ids

    def _batch(self, examples: Sequence[Example]) -> list[Tokens]:
        rendered = [self._rendered(example) for example in examples]
        encodings = self.tokenizer(
            [text for text, _ in rendered], add_special_tokens=False, return_offsets_mapping=True
        )
        finished = []
        for example, (_, spans), ids, offsets in zip(
            examples, rendered, encodings["input_ids"], encodings["offset_mapping"], strict=True
        ):
            labels = list(ids) if spans is None else _labels(ids, offsets, spans)
            self._close(ids, labels)
            self._open(ids, labels)
            finished.append(self._limited(example.origin, ids, labels))
        return finished

    def _rendered(self, example: Example) -> tuple[str, list[Span] | None]:
        """The text, and where it is supervised; None for everywhere."""
        if isinstance(example, Preference):
            raise InvalidConfigError(
                "dataset.format: preferences are for training.stage dpo, rm and kto, which compare answers"
            )
        if isinstance(example, Document):
            return example.text, None
        messages = example.messages
        turns = self.turns(messages)
        given = last_answer(example) if self.supervise == "lastAnswer" else example.prompt_turns
        text, spans = render_with_answers(
            self.tokenizer,
            turns,
            example.tools,
            first=len(turns) - len(messages) + given,
            origin=example.origin,
        )
        return text, None if self.supervise == "all" else spans

    def turns(self, messages: tuple[Message, ...]) -> list[Json]:
        """The conversation as the chat template gets it, with the job's system prompt where it has none."""
        turns = [message.to_template() for message in messages]
        prompt = self.preprocessing.system_prompt
        if prompt and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": prompt})
        return turns

    def _close(self, ids: list[int], labels: list[int]) -> None:
        """Ends the last supervised stretch with the end token, unless an end token of the template is
        there."""
        end = self.tokenizer.eos_token_id
        if not self.preprocessing.add_eos_token or end is None:
            return
        last = next((place for place in reversed(range(len(labels))) if labels[place] != IGNORED), None)
        if last is None or self.is_end(ids[last]):
            return
        del ids[last + 1 :], labels[last + 1 :]
        ids.append(end)
        labels.append(end)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        # many tokenizers mark the end of a turn (<|eot_id|>, <end_of_turn>) without naming it among their own
        added = self.tokenizer.added_tokens_decoder
        return frozenset([*self.tokenizer.all_special_ids, *(id_ for id_ in added if added[id_].special)])

    def _open(self, ids: list[int], labels: list[int]) -> None:
        start = self.tokenizer.bos_token_id
        if self.preprocessing.add_bos_token and start is not None and ids[:1] != [start]:
            ids.insert(0, start)
            labels.insert(0, IGNORED)

    def _limited(self, origin: Origin, ids: list[int], labels: list[int]) -> Tokens:
        cut = max(0, len(ids) - self.max_length)
        if cut and self.preprocessing.overlong == "fail":
            raise DataError(
                f"{origin}: {len(ids)} tokens, {self.limit} is {self.max_length}. Raise it, shorten the "
                "record, or set dataset.preprocessing.overlong: truncate"
            )
        return Tokens(
            ids=np.asarray(ids[: self.max_length], dtype=np.int32),
            labels=np.asarray(labels[: self.max_length], dtype=np.int32),
            origin=origin,
            cut=cut,
            cut_supervised=sum(label != IGNORED for label in labels[self.max_length :]),
        )


def _labels(ids: list[int], offsets: list[Span], spans: list[Span]) -> list[int]:
    """Labels of the tokens that hold a character of a span.

    Where the tokenizer joins the end of the prompt and the start of the answer in one token, that token is
    learned: without it the answer's first word would be learned nowhere.
    """
    labels = [IGNORED] * len(ids)
    remaining = iter(spans)
    span = next(remaining, None)
    for position, (start, end) in enumerate(offsets):
        while span is not None and start >= span[1]:
            span = next(remaining, None)
        if span is not None and start < end and end > span[0]:
            labels[position] = ids[position]
    return labels
