"""Prompts that the model answers itself while it learns, each with the answer that its record expects."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Final, TypedDict

import numpy as np
import torch

from finetune_api.resolved import ResolvedJob
from finetune_api.training import TrainingSpec
from finetune_trainer.data.answers import refused
from finetune_trainer.data.examples import Conversation, Example, Json, Message, last_answer
from finetune_trainer.data.hidden import refuse_hidden_tools, refuse_hidden_turns
from finetune_trainer.data.making import Recipe
from finetune_trainer.data.rendering import Ids, Renderer, Tokens
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.data.sieve import Sieve
from finetune_trainer.data.single import SingleDataset
from finetune_trainer.data.template import REFUSALS, Span, Template
from finetune_trainer.data.workers import Noted
from finetune_trainer.errors import DataError, InvalidConfigError

COMPARING: Final = frozenset({"exactMatch", "contains", "numericMatch"})
"""Reward functions that look at the answer of the record: an empty one is contained in everything."""


class Prompt(TypedDict):
    """The conversation up to the place where the answer begins, in tokens."""

    input_ids: Ids
    messages: tuple[Message, ...]
    tools: tuple[Json, ...]
    expected: str
    real: bool
    """Whether it is no filler."""


class PromptBatch(TypedDict):
    """Prompts end in the last column: padding is on the left. Of shape (rows, longest prompt), or (rows,)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    real: torch.Tensor
    messages: list[tuple[Message, ...]]
    tools: list[tuple[Json, ...]]
    expected: list[str]


@dataclass(frozen=True)
class PromptDataset(SingleDataset[Prompt]):
    """Prompts, each with its turns, its tools and its answer as its note (`_asked`); the answers to fillers
    are not learned from."""

    filler: Prompt = field(
        default_factory=lambda: Prompt(
            input_ids=np.zeros(2, dtype=np.int32), messages=(), tools=(), expected="", real=False
        )
    )

    def __getitem__(self, index: int) -> Prompt:
        return _prompt(self.records.sequences[index]) if index < len(self) else self.filler

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
            tools=[item["tools"] for item in items],
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


class PromptRenderer(Renderer):
    """Renders what stands before the last answer of a conversation, as the chat template opens it, with the
    tools that may be called."""

    def _rendered(self, example: Example) -> tuple[str, list[Span]]:
        if not isinstance(example, Conversation):
            raise AssertionError(f"{example.origin}: a prompt is made of a conversation")
        turns = self.turns(example.messages[: last_answer(example)])
        template = Template(self.tokenizer, example.tools)
        try:
            text = template.render(turns, prompt=True)
        except REFUSALS as error:
            raise refused(example.origin, error) from error
        refuse_hidden_turns(template, turns, example.origin)
        refuse_hidden_tools(template, turns, example.tools, example.origin)
        return text, []


def prompts(job: ResolvedJob, renderer: Renderer) -> Recipe[PromptDataset]:
    """One sequence per conversation: what is before its last answer, which is what is expected. Prompts that
    leave no room for an answer of the length that the stage draws are left out and counted."""
    training = job.spec.training
    drawing = training.grpo if training.stage == "grpo" else training.ppo
    if drawing is None:
        raise AssertionError(f"training.{training.stage} is required")
    prompted = PromptRenderer(
        renderer.tokenizer,
        renderer.preprocessing,
        renderer.max_length - drawing.sampling.max_new_tokens,
        renderer.supervise,
        "training.maxSequenceLength less sampling.maxNewTokens",
    )
    comparing = sorted(COMPARING.intersection(training.grpo.reward_functions if training.grpo else ()))
    return Recipe(
        f"prompts of {prompted.max_length} tokens{' with answers' if comparing else ''}",
        prompted,
        lambda: Sieve(prompted, drops=True, learns=False),
        PromptDataset,
        partial(_asked, comparing=comparing),
        drawn=True,
    )


def _asked(example: Example, comparing: Sequence[str]) -> Iterable[Noted]:
    """A prompt with the answer that is expected, which `comparing` names the rewards of."""
    if not isinstance(example, Conversation):
        raise InvalidConfigError(
            "dataset.format: this stage answers prompts. Use a format with prompts and answers"
        )
    place = last_answer(example)
    given, expected = example.messages[:place], example.messages[place].content
    if all(message.role == "system" for message in given):
        raise DataError(
            f"{example.origin}: nothing stands before its last answer that the model could answer. Remove "
            "the record, or use sft"
        )
    if comparing and not expected.strip():
        raise DataError(
            f"{example.origin}: its last answer has no text, and {' and '.join(comparing)} would compare "
            "with it. Remove the record, or use other training.grpo.rewardFunctions"
        )
    turns = [asdict(message) for message in given]
    return ((example, json.dumps({"messages": turns, "tools": example.tools, "expected": expected})),)


def _prompt(tokens: Tokens) -> Prompt:
    noted = json.loads(tokens.note)
    messages = tuple(
        Message(**turn | {"tool_calls": tuple(turn["tool_calls"])}) for turn in noted["messages"]
    )
    return Prompt(
        input_ids=tokens.ids,
        messages=messages,
        tools=tuple(noted["tools"]),
        expected=noted["expected"],
        real=True,
    )


def _length(prompt: Prompt) -> int:
    return len(prompt["input_ids"])
