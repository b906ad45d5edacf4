"""Talking to a model: one prompt, or turn by turn."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer

from finetune_api.stages import SamplingSpec
from finetune_trainer.data.asking import Prompt, Turns
from finetune_trainer.errors import ModelLoadError
from finetune_trainer.model.generation_settings import take_up
from finetune_trainer.model.models import LOAD_ERRORS
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.output.sample import answer

NEW: Final = "/new"
QUIT: Final = "/quit"
ADAPTER: Final = "adapter_config.json"


@dataclass(frozen=True)
class Places:
    """Where a model is: a whole one, or an adapter and its base."""

    model: str
    adapter: str | None = None
    revision: str | None = None
    """Of the model on the hub; None: its main branch."""


def places(model: str, adapter: str | None) -> Places:
    """Finds the base of an adapter that was given as the model, and the revision of it that the adapter was
    trained on. Raises `ModelLoadError`."""
    config = Path(adapter or model) / ADAPTER
    if not config.is_file():
        return Places(model, adapter)
    told = json.loads(config.read_bytes())
    base, revision = told.get("base_model_name_or_path"), told.get("revision")
    if adapter is not None:
        # on another base than its own, its revision means nothing
        return Places(model, adapter, revision if model == base else None)
    if not base:
        raise ModelLoadError(
            f"--model {model}: this adapter does not say which base it is for. Give the base as --model and "
            "the adapter as --adapter"
        )
    return Places(base, model, revision)


@dataclass
class Talk:
    """A conversation with a loaded model; each answer is written while it is drawn."""

    model: Any
    tokenizer: Tokenizer
    sampling: SamplingSpec
    out: TextIO
    system: str | None = None
    plain: bool = False
    """Goes on with the text that it is given, instead of answering."""

    def __post_init__(self) -> None:
        self.turns: Turns = []
        self.restart()

    @classmethod
    def load(cls, where: Places, sampling: SamplingSpec, out: TextIO, **settings: Any) -> "Talk":
        """Loads the model in its own type, on the GPU where there is one. Raises `ModelLoadError`."""
        try:
            model = AutoModelForCausalLM.from_pretrained(
                where.model, revision=where.revision or "main", dtype="auto"
            )
            if where.adapter is not None:
                from peft import PeftModel

                take_up(model, where.adapter)
                model = PeftModel.from_pretrained(model, where.adapter)
            tokenizer = AutoTokenizer.from_pretrained(where.adapter or where.model)
        except LOAD_ERRORS as error:
            raise ModelLoadError(f"{where.adapter or where.model} does not load: {error}") from error
        model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        return cls(model, tokenizer, sampling, out, **settings)

    def restart(self) -> None:
        """Forgets what was said."""
        self.turns = [{"role": "system", "content": self.system}] if self.system else []

    def say(self, text: str) -> str:
        """The answer to what is said next, also written to `out`."""
        asked: Prompt = text
        if not self.plain:
            self.turns.append({"role": "user", "content": text})
            asked = self.turns
        streamer = _Written(self.tokenizer, self.out)
        [said] = answer(self.model, self.tokenizer, [asked], self.sampling, batch_size=1, streamer=streamer)
        if not self.plain:
            self.turns.append({"role": "assistant", "content": said})
        return said

    def listen(self, lines: Iterator[str], ask: Callable[[], None] = lambda: None) -> None:
        """Answers line by line, until the lines end or one is /quit; /new forgets what was said. `ask` is
        called before each."""
        ask()
        for line in lines:
            text = line.strip()
            if text == QUIT:
                return
            if text == NEW:
                self.restart()
            elif text:
                self.say(text)
            ask()


class _Written(TextStreamer):  # type: ignore[misc]  # transformers is not typed
    """Writes words as they come, to a stream of ours."""

    def __init__(self, tokenizer: Tokenizer, out: TextIO) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._out = out

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self._out.write(f"{text}\n" if stream_end else text)
        self._out.flush()
