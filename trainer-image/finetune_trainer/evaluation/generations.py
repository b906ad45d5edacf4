"""Sample answers before training, every so many steps, and after it: all in a file, two in the status."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api.evaluation import GenerationsSpec
from finetune_api.resolved import ResolvedJob
from finetune_api.status import MAX_GENERATIONS_SHOWN, GenerationStatus
from finetune_trainer.data.asking import Prompt, learns_text
from finetune_trainer.files import write_atomically
from finetune_trainer.model.tokenizers import Tokenizer
from finetune_trainer.output.sample import answer

log = logging.getLogger(__name__)

FILE = "generations.jsonl"
SHOWN_CHARACTERS = 100
"""Of a prompt or an answer in the status; the file has it whole."""


@dataclass
class Generations(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Answers to the prompts of `evaluation.generations`.

    Every rank draws the same answers, since under ZeRO-3 no rank has the model alone; rank 0 writes them.
    """

    spec: GenerationsSpec
    job: ResolvedJob
    tokenizer: Tokenizer
    first: bool
    """Whether this is rank 0."""
    drawn: Callable[[], object]
    """Called after a round, whose time is not training's."""
    answers: dict[int, list[str]] = field(default_factory=dict)
    """By step, as far as the file has them."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        model: Any = None,
        **_kwargs: Any,
    ) -> None:
        if self.first:
            self._take_up(state.global_step)
        if state.global_step == 0:
            self.draw(model, 0, args)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        model: Any = None,
        optimizer: Any = None,
        **_kwargs: Any,
    ) -> None:
        """Called once per step with its loss."""
        step, every = state.global_step, self.spec.every_steps
        last = step >= state.max_steps
        if logs is not None and "loss" in logs and every > 0 and step % every == 0 and not last:
            if hasattr(optimizer, "eval"):
                # the average of a Schedule-Free optimizer, as in evaluations; the next step takes it away
                optimizer.eval()
            self.draw(model, step, args)

    def draw(self, model: Any, step: int, args: TrainingArguments) -> None:
        """One round of answers of the model as it is after a step; on all ranks together."""
        was_training = model.training
        model.eval()
        with _own_randomness(self.job.spec.training.seed, args.device), _arithmetic(args):
            answers = answer(
                model,
                self.tokenizer,
                [_prompt(self.job, text) for text in self.spec.prompts],
                self.spec.sampling,
                batch_size=self.job.spec.training.sequences_per_pass,
            )
        model.train(was_training)
        if self.first:
            self._write(step, answers)
            log.info("step %d: answered %d sample prompts", step, len(answers))
        self.drawn()

    def status(self) -> list[GenerationStatus]:
        """The first prompts with their first and last answers, cut."""
        if not self.answers:
            return []
        start, end = self.answers.get(0), self.answers[max(self.answers)]
        return [
            GenerationStatus(
                prompt=_cut(prompt),
                before=_cut(start[number]) if start is not None else None,
                after=_cut(end[number]),
            )
            for number, prompt in enumerate(self.spec.prompts[:MAX_GENERATIONS_SHOWN])
        ]

    def _write(self, step: int, answers: list[str]) -> None:
        if step in self.answers:  # a run that was complete when it was resumed
            self._keep(lambda other: other != step)
        self.answers[step] = answers
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._file.open("a", encoding="utf-8") as file:
            for prompt, text in zip(self.spec.prompts, answers, strict=True):
                line = {"step": step, "prompt": prompt, "answer": text, "attempt": self.job.attempt}
                file.write(json.dumps(line | {"time": now}, ensure_ascii=False) + "\n")

    def _take_up(self, step: int) -> None:
        """Keeps whole rounds up to the step that the run goes on from: the others will be drawn again."""
        found: dict[int, list[str]] = {}
        for line in _lines(self._file):
            found.setdefault(line["step"], []).append(line["answer"])
        self.answers = {
            number: answers
            for number, answers in found.items()
            if 0 < step >= number and len(answers) == len(self.spec.prompts)
        }
        self._keep(lambda number: number in self.answers)

    def _keep(self, wanted: Callable[[int], bool]) -> None:
        kept = [line for line in _lines(self._file) if wanted(line["step"])]
        write_atomically(self._file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))

    @property
    def _file(self) -> Path:
        return Path(self.job.paths.run_directory) / FILE


def _prompt(job: ResolvedJob, text: str) -> Prompt:
    """As the model was taught: a turn of a conversation, or text to go on with."""
    if not answers_turns(job):
        return text
    system = job.spec.dataset.preprocessing.system_prompt
    turns = [{"role": "user", "content": text}]
    return [{"role": "system", "content": system}, *turns] if system else turns


def answers_turns(job: ResolvedJob) -> bool:
    """Whether the model answers conversations, or goes on with plain text."""
    return not learns_text(job.spec)


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Draws with random numbers of its own: dropout and the like go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _arithmetic(args: TrainingArguments) -> torch.autocast:
    """That of the run: what is trained has 32 bit on a model of 16."""
    dtype = torch.float16 if args.fp16 else torch.bfloat16
    return torch.autocast(args.device.type, dtype, enabled=args.fp16 or args.bf16)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    if not file.exists():
        return
    # not splitlines, which ends lines at other characters too, and a model may write any
    for text in file.read_text(encoding="utf-8").split("\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the process ended in the middle of it
        yield line


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
