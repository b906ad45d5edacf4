"""The tokenizer: the model's own, another one, or one trained on the text; and the chat template it renders
with."""

import logging
from collections.abc import Iterable
from typing import Literal, TypeAlias

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from finetune_api.model import ModelSpec, TokenizerSpec, TokenizerTrainSpec
from finetune_trainer.chat_templates import chat_template
from finetune_trainer.errors import InvalidConfigError, ModelLoadError
from finetune_trainer.hub_trouble import hub_trouble

log = logging.getLogger(__name__)

Tokenizer: TypeAlias = PreTrainedTokenizerBase

END = "<|endoftext|>"
PAD = "<|pad|>"
TURN = "<|im_start|>"

CHATML = chat_template("chatml")
"""For tokenizers without a template."""

PLAIN = chat_template("plain")
"""Used with `dataset.preprocessing.useChatTemplate: false`."""

UNCLOSED = "{%- set close = '' -%}" + PLAIN
"""The same with `addEosToken: false`: no token ends an answer."""


def load_tokenizer(model: ModelSpec, *, base: str, revision: str | None) -> Tokenizer:
    """The tokenizer that the spec names, else the one of the base model. Raises `ModelLoadError`."""
    spec = model.tokenizer
    place = spec.path or spec.id or base
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            place,
            revision=(spec.revision if spec.id else None if spec.path else revision) or "main",
            trust_remote_code=model.trust_remote_code,
        )
    except Exception as error:
        field = {spec.id: "model.tokenizer.id", model.id: "model.id"}.get(place)
        trouble = hub_trouble(error, f"{field}: {place}", ModelLoadError) if field else None
        if trouble is not None:
            raise trouble from error
        raise ModelLoadError(f"model.tokenizer: {place} holds no tokenizer that loads: {error}") from error
    if not tokenizer.is_fast:
        raise ModelLoadError(
            f"model.tokenizer: {place} has no fast tokenizer (tokenizer.json), which labels are computed "
            "with. Convert it with transformers, or name another one in model.tokenizer.path"
        )
    return tokenizer


def train_tokenizer(texts: Iterable[str], spec: TokenizerTrainSpec) -> Tokenizer:
    """A byte-level BPE tokenizer for the texts: any text can be encoded, and decodes to itself."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    steps: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if spec.split_digits:
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocab_size,
        min_frequency=spec.min_frequency,
        special_tokens=[END, PAD, TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[TURN],
        clean_up_tokenization_spaces=False,
    )


def complete_tokenizer(
    tokenizer: Tokenizer, model: ModelSpec, *, use_chat_template: bool, closes: bool = True
) -> Tokenizer:
    """Gives the tokenizer what training needs: an end token, a padding token and a chat template.

    The template is the spec's, else the tokenizer's own, else ChatML; without one, turns are plain text, and
    `closes` says whether the end token closes each answer. Raises `InvalidConfigError`.
    """
    spec = model.tokenizer
    if tokenizer.eos_token is None:
        raise InvalidConfigError(
            "model.tokenizer: it has no end token (eos_token), so that no answer could ever end"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not use_chat_template:
        tokenizer.chat_template = PLAIN if closes else UNCLOSED
    elif spec.chat_template_name is not None:
        tokenizer.chat_template = chat_template(spec.chat_template_name)
    elif spec.chat_template is not None:
        tokenizer.chat_template = spec.chat_template
    elif tokenizer.chat_template is None:
        log.info("the tokenizer has no chat template: ChatML is used")
        tokenizer.chat_template = CHATML
    tokenizer.padding_side = padding_side(spec)
    return tokenizer


def padding_side(spec: TokenizerSpec) -> Literal["left", "right"]:
    """The side on which the result's tokenizer pads: as asked for, else the right one. Training's own batches
    are padded on the right (`data/dataset.py`), where positions count from the first token of each text."""
    return "left" if spec.padding_side == "left" else "right"
