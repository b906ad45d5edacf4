"""The smallest policy that draws answers: three tokens out of eight, known rewards, milliseconds a step."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from statistics import fmean, variance
from types import MappingProxyType, SimpleNamespace
from typing import Any

import torch

from finetune_api.stages import SamplingSpec
from finetune_trainer.data.answers import MARK
from finetune_trainer.model.heads import ValueHead
from finetune_trainer.stages.drawn import DrawnAnswers
from finetune_trainer.stages.reference import Reference
from finetune_trainer.stages.reward_functions import Answer
from finetune_trainer.stages.rollouts import Sampler

TOKENS, LONGEST, WIDTH, END = 8, 3, 16, 0
ROWS = 32
PROMPTS: dict[str, Any] = {
    "input_ids": torch.ones(ROWS, 1, dtype=torch.long),
    "attention_mask": torch.ones(ROWS, 1, dtype=torch.long),
    "real": torch.ones(ROWS, dtype=torch.bool),
    "messages": [()] * ROWS,
    "expected": [""] * ROWS,
}


class Bandit(torch.nn.Module):
    """Knows a token's place and the one before it; begins near uniform."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.tokens = torch.nn.Embedding(TOKENS, WIDTH)
        self.places = torch.nn.Embedding(LONGEST + 1, WIDTH)
        self.dropout = torch.nn.Dropout(0.5)
        self.logits = torch.nn.Linear(WIDTH, TOKENS)
        torch.nn.init.normal_(self.logits.weight, std=0.02)
        self.value_head = ValueHead(WIDTH)
        self.generation_config: Any = None

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor, **_others: Any) -> Any:
        hidden = self.dropout(torch.tanh(self.tokens(input_ids) + self.places(position_ids)))
        return SimpleNamespace(logits=self.logits(hidden), hidden_states=(hidden,))

    def generate(self, input_ids: torch.Tensor, max_new_tokens: int, **_others: Any) -> torch.Tensor:
        ids = input_ids
        for _ in range(max_new_tokens):
            places = torch.arange(ids.shape[1]).expand_as(ids)
            ids = torch.cat(
                [ids, torch.multinomial(self(ids, places).logits[:, -1].softmax(dim=-1), 1)], dim=1
            )
        return ids


class Itself(Reference):
    """Another bandit, which is not trained."""

    def __init__(self, model: Bandit) -> None:
        self.model = model

    def logits(self, inputs: dict[str, Any]) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self.model(**inputs).logits
        return found


class Numbers:
    """A tokenizer whose text is the tokens' numbers."""

    eos_token_id = pad_token_id = END
    added_tokens_decoder: Mapping[int, Any] = MappingProxyType({})

    def apply_chat_template(self, *_args: Any, **_others: Any) -> str:
        return MARK

    def __call__(self, *_args: Any, **_others: Any) -> dict[str, list[int]]:
        return {"input_ids": []}

    def decode(self, ids: list[int], **_others: Any) -> str:
        return " ".join(map(str, ids))


class Judge:
    """In the place of a reward model: the share of wanted tokens, times a scale, and an offset."""

    def __init__(self, *, offset: float = 0.0, scale: float = 1.0, wanted: str = "5") -> None:
        self.offset, self.scale, self.wanted = offset, scale, wanted

    def score(self, _prompts: Any, answers: Sequence[Answer]) -> torch.Tensor:
        shares = [answer.text.split().count(self.wanted) / LONGEST for answer in answers]
        return self.offset + self.scale * torch.tensor(shares)


def sampler(model: Bandit, seed: int) -> Sampler:
    accelerator: Any = SimpleNamespace(
        device=torch.device("cpu"), autocast=nullcontext, num_processes=1, process_index=0
    )
    tokenizer: Any = Numbers()
    return Sampler(model, tokenizer, SamplingSpec(max_new_tokens=LONGEST), accelerator, seed)


def learn(
    model: Bandit, objective: DrawnAnswers, *, batches: int, rate: float, prompts: Any = PROMPTS
) -> list[float]:
    """The mean reward of each batch of answers that is drawn in this many batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    rewards = []
    for step in range(batches * objective.passes):
        (batch,) = objective.begin_step(step, [prompts])
        outcome = objective.loss(model.train(), batch)
        optimizer.zero_grad()
        (outcome.total / objective.items(batch)).backward()
        optimizer.step()
        if step % objective.passes == 0:
            rewards.append(float(outcome.measured["reward"].mean()))
    return rewards


def rises(rewards: Sequence[float], start: Sequence[float] | None = None) -> bool:
    """Whether the mean reward of the last third of the batches is above that of the policy at the start by
    more than three standard errors of their difference (Welch's t over 3): by chance, in less than one of a
    hundred runs. Without rewards of the start's own, the first third stands for it."""
    third = len(rewards) // 3
    first, last = start or rewards[:third], rewards[-third:]
    error: float = (variance(first) / len(first) + variance(last) / len(last)) ** 0.5
    return fmean(last) - fmean(first) > 3 * error
