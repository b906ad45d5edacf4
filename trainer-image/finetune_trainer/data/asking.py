"""How a prompt becomes tokens: as the model was taught, wherever it is asked.

The tokenizer carries what a job says of the start token (`dataset.preprocessing.addBosToken`): the chat
template puts it in front of conversations, the tokenizer itself in front of text. Both are saved with the
result, so that whoever loads it, other programs too, asks it in the same way.
"""

from collections.abc import Sequence
from typing import Final

from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.answers import MARK
from finetune_trainer.data.template import REFUSALS
from finetune_trainer.model.tokenizers import Tokenizer, complete_tokenizer

Turns = list[dict[str, str]]
Prompt = Turns | str
"""A conversation that the model answers, or text that it continues."""

WITH_START: Final = "{{- bos_token -}}"
"""Stands in front of a chat template that writes no start token where one is asked for."""


def job_tokenizer(tokenizer: Tokenizer, spec: FineTuneJobSpec) -> Tokenizer:
    """The tokenizer as a job trains with it and saves it: complete, and with the start token it asks for.

    Text that is to be continued begins without one where the job trains on bare text without one; a model
    that learns conversations keeps the way in which its base reads text. Raises `InvalidConfigError`.
    """
    preprocessing = spec.dataset.preprocessing
    complete_tokenizer(
        tokenizer,
        spec.model,
        use_chat_template=preprocessing.use_chat_template,
        closes=preprocessing.add_eos_token,
    )
    start = tokenizer.bos_token_id
    if start is None:
        return tokenizer
    wanted = preprocessing.add_bos_token
    if wanted and not _template_starts(tokenizer):
        template = tokenizer.chat_template
        several = isinstance(template, dict)  # one of its own for conversations with tools
        tokenizer.chat_template = (
            {name: WITH_START + each for name, each in template.items()} if several else WITH_START + template
        )
    bare = learns_text(spec) or not preprocessing.use_chat_template
    if (start in front(tokenizer)) != wanted and (wanted or bare):
        tokenizer.add_bos_token = wanted
    return tokenizer


def learns_text(spec: FineTuneJobSpec) -> bool:
    """Whether a job learns to go on with text, rather than to answer conversations."""
    dataset, columns = spec.dataset, spec.dataset.columns
    turns = columns.messages or columns.chosen or columns.completion or columns.output
    documents = dataset.format == "custom" and columns.text is not None and not turns
    return spec.training.stage == "pretrain" or documents


def prompt_ids(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The tokens of each prompt: a conversation up to where its answer begins, as the chat template writes
    it; text behind what the tokenizer puts in front of any text, and without what it puts behind."""
    texts = [
        prompt
        if isinstance(prompt, str)
        else str(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False))
        for prompt in prompts
    ]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    first = front(tokenizer)
    return [
        behind(first, ids) if isinstance(prompt, str) else list(ids)
        for prompt, ids in zip(prompts, encoded, strict=True)
    ]


def front(tokenizer: Tokenizer) -> list[int]:
    """The tokens that the tokenizer by itself puts in front of a text."""
    bare, whole = (_encoded(tokenizer, ".", own) for own in (False, True))
    places = range(len(whole) - len(bare) + 1)
    return whole[: next((at for at in places if whole[at : at + len(bare)] == bare), 0)]


def _encoded(tokenizer: Tokenizer, text: str, own: bool) -> list[int]:
    if tokenizer.is_fast:
        # a batch, even of one, would start threads, which processes that are forked to tokenise must not have
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=own).ids)
    return list(tokenizer(text, add_special_tokens=own)["input_ids"])


def behind(first: Sequence[int], ids: Sequence[int]) -> list[int]:
    """The tokens behind these first ones, unless they are there already."""
    return list(ids) if list(ids[: len(first)]) == list(first) else [*first, *ids]


def end_tokens(tokenizer: Tokenizer) -> list[int]:
    """The tokens that end an answer: the end token, and the one that the chat template closes turns with."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except REFUSALS:
        closing = []
    else:
        closing = tokenizer(text.split(MARK)[-1], add_special_tokens=False)["input_ids"][:1]
    special = tokenizer.added_tokens_decoder
    ends = [token for token in closing if token in special and special[token].special]
    return sorted({tokenizer.eos_token_id, *ends} - {None})


def _template_starts(tokenizer: Tokenizer) -> bool:
    """Whether the chat template writes the start token itself."""
    try:
        text = str(tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False))
    except REFUSALS:
        return "bos_token" in str(tokenizer.chat_template)
    return text.startswith(str(tokenizer.bos_token))
