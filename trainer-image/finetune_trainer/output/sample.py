"""Answers of a model: to conversations through its chat template, and to bare text."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from finetune_api.dataset import ColumnsSpec
from finetune_api.stages import SamplingSpec
from finetune_trainer.data.asking import Prompt, Turns, end_tokens, prompt_ids
from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Message, Record
from finetune_trainer.data.formats.base import optional_text, required_text
from finetune_trainer.data.formats.turns import read_messages
from finetune_trainer.data.reading import read_json_records
from finetune_trainer.errors import DataError
from finetune_trainer.model.tokenizers import CHATML
from finetune_trainer.output.export import load_output

log = logging.getLogger(__name__)


def answer_file(
    model: str,
    adapter: Path | None,
    prompts: Path,
    out: Path,
    sampling: SamplingSpec,
    *,
    batch_size: int = 32,
    system: str | None = None,
) -> None:
    """Copies each line of `prompts` to `out` with an `answer` added.

    A line holds `messages`, or a `prompt`, or `instruction` and maybe `input`; what begins without a system
    turn begins with `system`. Raises `DataError`.
    """
    records = list(_records(prompts))
    gpu = torch.cuda.is_available()
    # a GPU has its own 16-bit arithmetic, and may have no room for more
    device = torch.device("cuda" if gpu else "cpu")
    loaded = load_output(model, adapter, "auto" if gpu else torch.float32, device=device)
    loaded.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(adapter or model)
    answers = answer(
        loaded,
        tokenizer,
        [under(system, turns_of(record)) for record in records],
        sampling,
        batch_size=batch_size,
    )
    with out.open("w", encoding="utf-8") as file:
        for record, text in zip(records, answers, strict=True):
            file.write(json.dumps(record.fields | {"answer": text}, ensure_ascii=False) + "\n")
    log.info("%d answers are in %s", len(answers), out)


def answer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    sampling: SamplingSpec,
    *,
    batch_size: int,
    streamer: Any = None,
) -> list[str]:
    """The model's answer to each prompt, without special tokens; a streamer of transformers gets a single
    prompt's answer while it is drawn.

    Text that is continued keeps its white space, an answer of a conversation loses what surrounds it. An
    answer ends where the model has no more positions, and of a prompt that fills them all the end is read:
    GPT-2 has learned each of its positions, and fails behind the last one.
    """
    answers: list[str] = []
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    with _ready_to_generate(tokenizer):
        settings = _generation_config(model, tokenizer, sampling)
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            inputs = _inputs(tokenizer, batch, None if positions is None else positions - 1)
            asked = inputs["input_ids"].shape[1]
            if positions is not None:
                settings.max_new_tokens = min(sampling.max_new_tokens, positions - asked)
            there = {name: ids.to(model.device) for name, ids in inputs.items()}
            with torch.no_grad():
                outputs = model.generate(**there, generation_config=settings, streamer=streamer)
            new = outputs[:, asked:]
            texts = tokenizer.batch_decode(new, skip_special_tokens=True)
            answers += [
                text if isinstance(prompt, str) else text.strip()
                for prompt, text in zip(batch, texts, strict=True)
            ]
    return answers


def turns_of(record: Record) -> Turns:
    """The conversation in a record, up to the answer that is asked for. Raises `DataError`."""
    messages = record.fields.get("messages")
    try:
        if isinstance(messages, list):
            return _asked(record, read_messages(messages, "messages", ColumnsSpec()))
        if "prompt" in record.fields:
            return [{"role": "user", "content": required_text(record, "prompt")}]
        instruction, extra = required_text(record, "instruction"), optional_text(record, "input")
    except BrokenRecordError as error:
        raise DataError(f"{record.origin}: {error}") from error
    return [{"role": "user", "content": f"{instruction}\n\n{extra}" if extra else instruction}]


def _asked(record: Record, messages: Sequence[Message]) -> Turns:
    """The turns up to the last answers. Raises `BrokenRecordError`."""
    answers = len(list(takewhile(lambda message: message.role == "assistant", reversed(messages))))
    given = messages[: len(messages) - answers]
    if not given:
        raise BrokenRecordError("messages asks nothing: it holds no turn before the answer")
    if record.fields.get("tools") or any(turn.tool_calls for turn in given):
        raise BrokenRecordError("prompts are asked without tools, and this one has some. Leave it out")
    return [{"role": turn.role, "content": turn.content} for turn in given]


def under(system: str | None, turns: Turns) -> Turns:
    """The conversation, behind a system turn unless it has one of its own."""
    has_one = turns[0]["role"] == "system"
    return turns if system is None or has_one else [{"role": "system", "content": system}, *turns]


@contextmanager
def _ready_to_generate(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Lends the tokenizer what batches of prompts need: it is also the one that training saves."""
    before = tokenizer.pad_token, tokenizer.chat_template
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or CHATML
    try:
        yield
    finally:
        tokenizer.pad_token, tokenizer.chat_template = before


def _inputs(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], longest: int | None
) -> dict[str, torch.Tensor]:
    """Padded on the left, of at most so many tokens."""
    asked = prompt_ids(tokenizer, prompts)
    rows = [torch.tensor(ids[-longest:] if longest else ids, dtype=torch.long) for ids in asked]
    pad = tokenizer.pad_token_id
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=pad, padding_side="left"),
        "attention_mask": pad_sequence(
            [torch.ones_like(row) for row in rows], batch_first=True, padding_side="left"
        ),
    }


def _generation_config(
    model: Any, tokenizer: PreTrainedTokenizerBase, sampling: SamplingSpec
) -> GenerationConfig:
    drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=_ends(model, tokenizer),
        # training may have turned it off
        use_cache=True,
        **(drawn if sampling.temperature > 0 else {"do_sample": False}),
    )


def _ends(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end what was taught, and those that the model's own settings add."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return sorted({*end_tokens(tokenizer), *(own if isinstance(own, list) else [own])} - {None})


def _records(prompts: Path) -> Iterator[Record]:
    for record in read_json_records(prompts):
        if isinstance(record, BrokenRecord):
            raise DataError(str(record))
        yield record
