"""Prompts that the model answers itself while it learns, each with the answer that its record expects."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TypedDict

import numpy as np
import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.training import TrainingSpec
from finetune_trainer.data.answers import REFUSALS, refused
from finetune_trainer.data.dataset import DataFacts, TokenizedDataset
from finetune_trainer.data.examples import Conversation, Example, Json, Message, Origin, last_answer
from finetune_trainer.data.making import Making
from finetune_trainer.data.preparation import Recipe, renderer_for, train_and_evaluation
from finetune_trainer.data.rendering import IGNORED, Ids, Renderer, Tokens
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.errors import DataError, InvalidConfigError
from finetune_trainer.tokenizers import Tokenizer

log = logging.getLogger(__name__)


class Prompt(TypedDict):
    """The conversation up to the place where the answer begins, in tokens."""

    input_ids: Ids
    messages: tuple[Message, ...]
    expected: str
    real: bool
    """Whether it is no filler."""


class PromptBatch(TypedDict):
    """Prompts end in the last column: padding is on the left. Of shape (rows, longest prompt), or (rows,)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    real: torch.Tensor
    messages: list[tuple[Message, ...]]
    expected: list[str]


@dataclass(frozen=True)
class PromptDataset(torch.utils.data.Dataset[Prompt]):
    """Prompts by index; every index from `len` on is a filler whose answer is not learned from."""

    records: TokenizedDataset
    """Each with its turns and its answer as its note (`_note`)."""
    filler: Prompt = field(
        default_factory=lambda: Prompt(
            input_ids=np.zeros(2, dtype=np.int32), messages=(), expected="", real=False
        )
    )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Prompt:
        return _prompt(self.records.sequences[index]) if index < len(self) else self.filler

    @property
    def facts(self) -> DataFacts:
        """What became of the records."""
        return self.records.facts

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Tokens of the prompts at these indices; answers are not known before they are drawn."""
        return self.records.tokens_in(indices)

    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return self.records.lengths()

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the prompts at these indices come from, each once."""
        return list(dict.fromkeys(self.records.origins(indices)))

    def part(self, indices: Iterable[int]) -> "PromptDataset":
        """The prompts at these indices."""
        return PromptDataset(self.records.part(indices))

    def collate(self, items: Sequence[Prompt], pad_id: int) -> PromptBatch:
        """A micro-batch of prompts."""
        longest = max(_length(item) for item in items)
        ids = torch.full((len(items), longest), pad_id, dtype=torch.long)
        mask = torch.zeros((len(items), longest), dtype=torch.long)
        for row, item in enumerate(items):
            ids[row, longest - _length(item) :] = torch.from_numpy(item["input_ids"])
            mask[row, longest - _length(item) :] = 1
        return PromptBatch(
            input_ids=ids,
            attention_mask=mask,
            real=torch.tensor([item["real"] for item in items]),
            messages=[item["messages"] for item in items],
            expected=[item["expected"] for item in items],
        )


@dataclass(frozen=True, eq=False)
class RepeatedOrder(GlobalOrder):
    """Prompts, each `group` times in a row; each step's batch is learned from in `passes` steps.

    `size` counts prompts, and `global_batch`, a multiple of `group`, answers.
    """

    group: int = 1
    passes: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every prompt is answered once by each of its group."""
        return self._prompts.steps_per_epoch * self.passes

    def step(self, step: int) -> list[int]:
        """Indices of an optimizer step, counted from 0 over the whole run."""
        return [index for index in self._prompts.step(step // self.passes) for _ in range(self.group)]

    @cached_property
    def _prompts(self) -> GlobalOrder:
        return GlobalOrder(self.size, self.global_batch // self.group, self.seed, self.shuffle, self.lengths)


def repeated(plain: GlobalOrder, training: TrainingSpec) -> GlobalOrder:
    """The order of a stage that draws answers; that of other stages is the plain one."""
    if training.stage == "grpo" and training.grpo is not None:
        group, passes = training.grpo.group_size, training.grpo.updates_per_batch
    elif training.stage == "ppo" and training.ppo is not None:
        group, passes = 1, training.ppo.updates_per_batch
    else:
        return plain
    return RepeatedOrder(
        plain.size,
        plain.global_batch,
        plain.seed,
        plain.shuffle,
        plain.lengths,
        group=group,
        passes=passes,
    )


@dataclass
class PromptMaker:
    """One sequence per conversation: what is before its last answer, which is what is expected. Prompts of
    more than `longest` tokens are left out and counted."""

    longest: int
    counts: DataFacts = field(default_factory=lambda: DataFacts(0, 0, 0, 0))

    def __call__(self, examples: Iterable[Example], renderer: Renderer, _workers: int) -> Making:
        """Raises `InvalidConfigError` for examples without prompts; the facts raise `DataError` when none is
        left."""
        self.counts = DataFacts(0, 0, 0, 0)
        return self._prompts(examples, renderer), self._facts

    def _prompts(self, examples: Iterable[Example], renderer: Renderer) -> Iterator[Tokens]:
        for example in examples:
            if not isinstance(example, Conversation):
                raise InvalidConfigError(
                    "dataset.format: this stage answers prompts. Use a format with prompts and answers"
                )
            place = last_answer(example)
            if (problem := unanswerable(example)) is not None:
                raise DataError(f"{example.origin}: {problem}")
            given, expected = example.messages[:place], example.messages[place].content
            try:
                ids = prompt_ids(renderer, given, example.tools)
            except REFUSALS as error:
                raise refused(example.origin, error) from error
            fits = len(ids) <= self.longest
            counts = self.counts
            self.counts = replace(
                counts,
                records=counts.records + 1,
                sequences=counts.sequences + fits,
                tokens=counts.tokens + fits * len(ids),
                truncated=counts.truncated + (not fits),
            )
            if fits:
                unlearned = np.full(len(ids), IGNORED, dtype=np.int32)
                yield Tokens(ids, unlearned, example.origin, note=_note(given, expected))

    def _facts(self) -> DataFacts:
        facts = self.counts
        if facts.truncated:
            log.warning(
                "%d of %d prompts are left out: more than %d tokens",
                facts.truncated,
                facts.records,
                self.longest,
            )
        if not facts.sequences:
            raise DataError(
                f"none of {facts.records} prompts leaves room for an answer: training.maxSequenceLength less "
                f"sampling.maxNewTokens is {self.longest}. Raise the one or lower the other"
            )
        return facts


def unanswerable(example: Example) -> str | None:
    """Why an example holds no prompt, in words; None where it does."""
    if isinstance(example, Conversation):
        before = example.messages[: last_answer(example)]
        if any(message.role != "system" for message in before):
            return None
    return "nothing stands before its last answer that the model could answer. Remove the record, or use sft"


def _note(messages: tuple[Message, ...], expected: str) -> str:
    return json.dumps({"messages": [asdict(message) for message in messages], "expected": expected})


def _prompt(tokens: Tokens) -> Prompt:
    noted = json.loads(tokens.note)
    messages = tuple(
        Message(**turn | {"tool_calls": tuple(turn["tool_calls"])}) for turn in noted["messages"]
    )
    return Prompt(input_ids=tokens.ids, messages=messages, expected=noted["expected"], real=True)


def prompt_ids(renderer: Renderer, messages: tuple[Message, ...], tools: tuple[Json, ...] = ()) -> Ids:
    """The tokens before an answer, as the chat template opens it, with the tools that may be called.

    Raises one of `REFUSALS`."""
    tokenizer = renderer.tokenizer
    text = tokenizer.apply_chat_template(
        renderer.turns(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=True
    )
    return np.asarray(tokenizer(str(text), add_special_tokens=False)["input_ids"], dtype=np.int32)


def prepare_prompts(
    job: ResolvedJob, examples: Callable[[], list[Example]], tokenizer: Tokenizer, longest_answer: int
) -> tuple[PromptDataset, PromptDataset | None]:
    """Training and evaluation prompts of a job, which leave room for an answer of so many tokens."""
    longest = job.spec.training.max_sequence_length - longest_answer
    recipe = Recipe(f"prompts of {longest} tokens", PromptMaker(longest), PromptDataset)
    data, evaluation = train_and_evaluation(job, examples, renderer_for(job.spec, tokenizer), recipe)
    log.info("%d prompts, %d tokens", len(data), data.facts.tokens)
    return data, evaluation


def _length(prompt: Prompt) -> int:
    return len(prompt["input_ids"])
