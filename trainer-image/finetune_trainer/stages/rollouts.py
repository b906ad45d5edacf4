"""Answers that the model draws while it learns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch.nn.functional import pad
from transformers import GenerationConfig

from finetune_api.estimate.drawing import drawn_together
from finetune_api.stages import SamplingSpec
from finetune_trainer.data.asking import end_tokens
from finetune_trainer.data.rendering import IGNORED
from finetune_trainer.model.architecture import architecture_in
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.stages.base import Setting
from finetune_trainer.stages.likelihoods import token_log_probabilities
from finetune_trainer.stages.reference import without_training
from finetune_trainer.stages.reward_functions import Answer


@dataclass(frozen=True)
class Rollouts:
    """Prompts of one micro-batch with an answer each; tensors of shape (rows, prompt + answer)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    """The answer's tokens, with the one that ends it; `IGNORED` elsewhere."""
    answers: list[Answer]

    def batch(self) -> dict[str, torch.Tensor]:
        """As a micro-batch. Prompts are padded on the left, so that positions are given."""
        return {
            "input_ids": self.ids,
            "attention_mask": self.mask,
            "position_ids": (self.mask.cumsum(dim=1) - 1).clamp(min=0),
            "labels": self.labels,
            "ended": torch.tensor([answer.ended for answer in self.answers]),
        }


@dataclass(frozen=True)
class Sampler:
    """Draws answers from a model as the job asks."""

    model: Any
    tokenizer: Tokenizer
    spec: SamplingSpec
    accelerator: Accelerator
    seed: int
    together: int = 1
    """So many micro-batches are answered at once: a token takes about as long for many answers as for few."""

    def draw(self, batches: Sequence[Mapping[str, Any]], number: int) -> list[Rollouts]:
        """An answer to each prompt of these micro-batches; a function of the weights, the seed, the rank and
        the number alone, of which each micro-batch takes one."""
        return [
            rollouts
            for start in range(0, len(batches), self.together)
            for rollouts in self._draw(batches[start : start + self.together], number + start)
        ]

    def _draw(self, batches: Sequence[Mapping[str, Any]], number: int) -> list[Rollouts]:
        device = self.accelerator.device
        ids = _stacked([batch["input_ids"] for batch in batches], self.tokenizer.pad_token_id).to(device)
        mask = _stacked([batch["attention_mask"] for batch in batches], 0).to(device)
        ends = end_tokens(self.tokenizer)
        with (
            without_training(self.model),
            without_defaults(self.model),
            self.accelerator.autocast(),
            _seeded(self._seed(number), device),
        ):
            drawn = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self.spec.max_new_tokens,
                do_sample=self.spec.temperature > 0,
                temperature=self.spec.temperature or None,
                top_p=self.spec.top_p,
                top_k=0,
                eos_token_id=ends,
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
            )
        rows = [len(batch["input_ids"]) for batch in batches]
        drawn = drawn[:, ids.shape[1] :]
        parts = zip(batches, *(torch.split(each, rows) for each in (ids, mask, drawn)), strict=True)
        found = []
        for batch, prompts, shown, answers in parts:
            own = slice(ids.shape[1] - batch["input_ids"].shape[1], None)
            found.append(self._rollouts(prompts[:, own], shown[:, own], answers, ends, batch["expected"]))
        return found

    def log_probabilities(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of the answers' tokens, at the temperature that they were drawn with: shape (rows, tokens − 1)."""
        return token_log_probabilities(logits.float() / (self.spec.temperature or 1.0), labels)

    def _rollouts(
        self, ids: torch.Tensor, mask: torch.Tensor, drawn: torch.Tensor, ends: list[int], expected: list[str]
    ) -> Rollouts:
        is_end = torch.isin(drawn, torch.tensor(ends, device=drawn.device))
        # what stands behind the first end is padding; that end itself is a part of the answer
        answered = (is_end.cumsum(dim=1) - is_end.long()) == 0
        ended = is_end.any(dim=1).tolist()
        # others that were drawn with these may have taken longer
        longest = int(answered.sum(dim=1).max())
        drawn, answered = drawn[:, :longest], answered[:, :longest]
        texts = [
            str(self.tokenizer.decode(row[kept].tolist(), skip_special_tokens=True))
            for row, kept in zip(drawn, answered, strict=True)
        ]
        return Rollouts(
            ids=torch.cat([ids, drawn], dim=1),
            mask=torch.cat([mask, answered.long()], dim=1),
            labels=torch.cat([torch.full_like(ids, IGNORED), drawn.masked_fill(~answered, IGNORED)], dim=1),
            answers=[
                Answer(text, wanted, int(kept.sum()), self.spec.max_new_tokens, stopped)
                for text, wanted, kept, stopped in zip(texts, expected, answered, ended, strict=True)
            ],
        )

    def _seed(self, number: int) -> int:
        ranks, rank = int(self.accelerator.num_processes), int(self.accelerator.process_index)
        return (self.seed * 1_000_003 + number * ranks + rank) % (1 << 63)


def sampler_for(setting: Setting, spec: SamplingSpec) -> Sampler:
    """Draws from the model that is trained, for as many micro-batches at once as need no more memory than
    learning from one (`drawn_together`); one by one where the catalog does not know the model's family."""
    training, model = setting.job.spec.training, cast(Any, setting.model)
    architecture = architecture_in(model.config.get_text_config())
    together = 1
    if architecture is not None:
        each = DTYPES[setting.precision].itemsize
        together = drawn_together(architecture, each, training.gradient_accumulation_steps)
    return Sampler(model, setting.tokenizer, spec, setting.accelerator, training.seed, together)


def inputs_of(batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What the model gets of a micro-batch of answers."""
    names = ("input_ids", "attention_mask", "position_ids")
    return {name: batch[name] for name in names} | {"use_cache": False}


def _stacked(tensors: Sequence[torch.Tensor], filler: int) -> torch.Tensor:
    """The rows of all, which are filled up on the left to the same width."""
    width = max(tensor.shape[1] for tensor in tensors)
    return torch.cat([pad(tensor, (width - tensor.shape[1], 0), value=filler) for tensor in tensors])


@contextmanager
def without_defaults(model: Any) -> Iterator[None]:
    """Inside, the model draws as it is told, and not as its authors advise: a repetition penalty, say, would
    draw from another distribution than the one whose probabilities are learned."""
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    advised = whole.generation_config
    whole.generation_config = GenerationConfig()
    try:
        yield
    finally:
        whole.generation_config = advised


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, random numbers follow from the seed; outside, they go on as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
