"""Answers to a file of prompts, greedily: for comparing a model before and after training."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_trainer.data.examples import BrokenRecord, BrokenRecordError, Record
from finetune_trainer.data.formats.base import optional_text, required_text
from finetune_trainer.data.reading import read_json_records
from finetune_trainer.errors import DataError
from finetune_trainer.export import load_output
from finetune_trainer.tokenizers import CHATML

log = logging.getLogger(__name__)

Turns = list[dict[str, str]]


def answer_file(
    model: str,
    adapter: Path | None,
    prompts: Path,
    out: Path,
    *,
    max_new_tokens: int = 64,
    batch_size: int = 32,
) -> None:
    """Copies each line of `prompts` to `out` with an `answer` added.

    A line holds `messages`, or a `prompt`, or `instruction` and maybe `input`. Raises `DataError`.
    """
    records = list(_records(prompts))
    loaded = load_output(model, adapter, torch.float32)
    loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    tokenizer = AutoTokenizer.from_pretrained(adapter or model)
    answers = answer(
        loaded,
        tokenizer,
        [_turns(record) for record in records],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    with out.open("w", encoding="utf-8") as file:
        for record, text in zip(records, answers, strict=True):
            file.write(json.dumps(record.fields | {"answer": text}, ensure_ascii=False) + "\n")
    log.info("%d answers are in %s", len(answers), out)


def answer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Turns],
    *,
    max_new_tokens: int,
    batch_size: int,
) -> list[str]:
    """The model's greedy answer to each conversation, without special tokens."""
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = CHATML
    answers: list[str] = []
    for start in range(0, len(conversations), batch_size):
        inputs = tokenizer.apply_chat_template(
            list(conversations[start : start + batch_size]),
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        with torch.no_grad():
            outputs = model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        new = outputs[:, inputs["input_ids"].shape[1] :]
        answers += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
    return answers


def _records(prompts: Path) -> Iterator[Record]:
    for record in read_json_records(prompts):
        if isinstance(record, BrokenRecord):
            raise DataError(str(record))
        yield record


def _turns(record: Record) -> Turns:
    messages = record.fields.get("messages")
    try:
        if isinstance(messages, list):
            turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in messages]
            while turns and turns[-1]["role"] == "assistant":
                turns.pop()
            return turns
        if "prompt" in record.fields:
            return [{"role": "user", "content": required_text(record, "prompt")}]
        instruction, extra = required_text(record, "instruction"), optional_text(record, "input")
    except (BrokenRecordError, KeyError, TypeError) as error:
        raise DataError(f"{record.origin}: {error}") from error
    return [{"role": "user", "content": f"{instruction}\n\n{extra}" if extra else instruction}]
