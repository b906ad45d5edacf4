"""Prompts that the model answers itself while it learns, each with the answer that its record expects."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypedDict

import numpy as np
import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.training import TrainingSpec
from finetune_trainer.data.answers import REFUSALS, refused
from finetune_trainer.data.dataset import DataFacts
from finetune_trainer.data.examples import Conversation, Example, Json, Message, Origin, last_answer
from finetune_trainer.data.preferences import train_and_evaluation
from finetune_trainer.data.preparation import renderer_for
from finetune_trainer.data.rendering import Ids, Renderer
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

    prompts: Sequence[Prompt]
    places: Sequence[Origin]
    facts: DataFacts
    filler: Prompt = field(
        default_factory=lambda: Prompt(
            input_ids=np.zeros(2, dtype=np.int32), messages=(), expected="", real=False
        )
    )

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self.prompts[index] if index < len(self.prompts) else self.filler

    def tokens_in(self, indices: Iterable[int]) -> int:
        """Tokens of the prompts at these indices; answers are not known before they are drawn."""
        return sum(len(self.prompts[index]["input_ids"]) for index in indices if index < len(self.prompts))

    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return [len(prompt["input_ids"]) for prompt in self.prompts]

    def origins(self, indices: Iterable[int]) -> list[Origin]:
        """Where the prompts at these indices come from, each once."""
        known = (self.places[index] for index in indices if index < len(self.places))
        return list(dict.fromkeys(known))

    def part(self, indices: Iterable[int]) -> "PromptDataset":
        """The prompts at these indices."""
        chosen = list(indices)
        prompts = [self.prompts[index] for index in chosen]
        facts = replace(self.facts, sequences=len(prompts), tokens=sum(_length(prompt) for prompt in prompts))
        return PromptDataset(prompts, [self.places[index] for index in chosen], facts)

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


def read_prompts(
    examples: Sequence[Example], renderer: Renderer, tokenizer: Tokenizer, longest: int
) -> PromptDataset:
    """One prompt per conversation: what is before its last answer, which is what is expected. Prompts of more
    than `longest` tokens are left out and counted.

    Raises `DataError` when none is left, `InvalidConfigError` for examples without prompts.
    """
    prompts: list[Prompt] = []
    places: list[Origin] = []
    for example in examples:
        if not isinstance(example, Conversation):
            raise InvalidConfigError(
                "dataset.format: this stage answers prompts. Use a format with prompts and answers"
            )
        place = last_answer(example)
        if place == 0:
            raise DataError(f"{example.origin}: the record asks nothing: it begins with its answer")
        try:
            ids = prompt_ids(renderer, tokenizer, example.messages[:place], example.tools)
        except REFUSALS as error:
            raise refused(example.origin, error) from error
        if len(ids) <= longest:
            given, expected = example.messages[:place], example.messages[place].content
            prompts.append(Prompt(input_ids=ids, messages=given, expected=expected, real=True))
            places.append(example.origin)
    left_out = len(examples) - len(prompts)
    if left_out:
        log.warning("%d of %d prompts are left out: more than %d tokens", left_out, len(examples), longest)
    if not prompts:
        raise DataError(
            f"none of {len(examples)} prompts leaves room for an answer: training.maxSequenceLength less "
            f"sampling.maxNewTokens is {longest}. Raise the one or lower the other"
        )
    tokens = sum(_length(prompt) for prompt in prompts)
    return PromptDataset(
        prompts, places, DataFacts(len(examples), len(prompts), tokens, 0, truncated=left_out)
    )


def prompt_ids(
    renderer: Renderer, tokenizer: Tokenizer, messages: tuple[Message, ...], tools: Sequence[Json] = ()
) -> Ids:
    """The tokens before an answer, as the chat template opens it. Raises one of `REFUSALS`."""
    text = tokenizer.apply_chat_template(
        renderer.turns(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=True
    )
    return np.asarray(tokenizer(str(text), add_special_tokens=False)["input_ids"], dtype=np.int32)


def prepare_prompts(
    job: ResolvedJob, examples: Callable[[], list[Example]], tokenizer: Tokenizer, longest_answer: int
) -> tuple[PromptDataset, PromptDataset | None]:
    """Training and evaluation prompts of a job, which leave room for an answer of so many tokens."""
    renderer = renderer_for(job.spec, tokenizer)
    longest = job.spec.training.max_sequence_length - longest_answer
    data, evaluation = train_and_evaluation(
        job, examples, lambda _path, read: read_prompts(read(), renderer, tokenizer, longest)
    )
    log.info("%d prompts, %d tokens", len(data), data.facts.tokens)
    return data, evaluation


def _length(prompt: Prompt) -> int:
    return len(prompt["input_ids"])
