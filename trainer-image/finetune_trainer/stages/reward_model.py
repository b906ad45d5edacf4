"""A reward model that scores drawn answers, with its own tokenizer and chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from sys import maxsize
from typing import Any

import torch
from transformers import AutoTokenizer

from finetune_api.model import ModelSpec
from finetune_api.stages import PpoSpec
from finetune_trainer.data.dataset import Sample, collate
from finetune_trainer.data.examples import Conversation, Json, Message, Origin
from finetune_trainer.data.rendering import Renderer
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.model.heads import SCORE
from finetune_trainer.model.models import LOAD_ERRORS, load_base
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.stages.base import Setting
from finetune_trainer.stages.reward_functions import Answer

NAME = "training.ppo: the reward model"
"""Of whatever is wrong with a conversation that only it gets."""


class RewardModel:
    """Scores whole conversations, rendered as a job of stage rm renders them.

    `score` raises `InvalidConfigError` for one that has more tokens than the model has positions.
    """

    def __init__(self, model: Any, renderer: Renderer, device: torch.device) -> None:
        self.model = model
        self.renderer = renderer
        self.device = device

    def score(self, prompts: Mapping[str, Any], answers: Sequence[Answer]) -> torch.Tensor:
        """The reward of each answer to the prompt in the same row; fillers get 0."""
        rows = [
            self._row(messages, tools, answer.text) if real else None
            for messages, tools, answer, real in zip(
                prompts["messages"], prompts["tools"], answers, prompts["real"].tolist(), strict=True
            )
        ]
        scores = torch.zeros(len(rows), device=self.device)
        known = [place for place, row in enumerate(rows) if row is not None]
        if known:
            pad = int(self.renderer.tokenizer.pad_token_id or 0)
            batch = collate([row for row in rows if row is not None], pad)
            inputs = {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask")}
            with torch.no_grad():
                scores[known] = self.model(**inputs, use_cache=False).logits.squeeze(-1).float()
        return scores

    def _row(self, messages: tuple[Message, ...], tools: tuple[Json, ...], answer: str) -> Sample:
        # an empty answer is no turn; templates may refuse it
        said = Message("assistant", answer if answer.strip() else " ")
        tokens = self.renderer(Conversation(Origin(NAME, 0), (*messages, said), tools))
        if tokens.cut:
            raise InvalidConfigError(
                f"{NAME} has {self.renderer.max_length} positions, and an answer with its prompt takes "
                f"{tokens.cut} more. Lower training.maxSequenceLength, or use another reward model"
            )
        return Sample(input_ids=tokens.ids, labels=tokens.labels)


def load_reward_model(setting: Setting, spec: PpoSpec) -> RewardModel:
    """The model that the job names: a whole one, or an adapter with its base. Raises `ModelLoadError`."""
    place = spec.reward_model_path or str(spec.reward_model_id)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = _load(place, DTYPES[setting.precision], setting.accelerator.device)
    except LOAD_ERRORS as error:
        raise ModelLoadError(f"training.ppo: the reward model {place} does not load: {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = setting.tokenizer.chat_template
    model.config.pad_token_id = tokenizer.pad_token_id
    device = setting.accelerator.device
    model.requires_grad_(requires_grad=False)
    # its tokenizer may need more tokens than the policy's: an answer without its end would get another score;
    # and its own template says whether it was taught with a start token
    as_taught = {"overlong": "truncate", "add_bos_token": False}
    whole = setting.job.spec.dataset.preprocessing.model_copy(update=as_taught)
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or maxsize
    renderer = Renderer(tokenizer, whole, positions, "lastAnswer")
    return RewardModel(model.to(device).eval(), renderer, device)


def _load(place: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A whole reward model must have its score's weights; to a base, an adapter brings them."""
    if not (Path(place) / "adapter_config.json").is_file():
        return load_base(ModelSpec(path=place), place, dtype, head=replace(SCORE, fresh=()), device=device)
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(place)
    base = str(config.base_model_name_or_path)
    spec = ModelSpec(path=base, revision=config.revision)
    return PeftModel.from_pretrained(load_base(spec, base, dtype, head=SCORE, device=device), place)
