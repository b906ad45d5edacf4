"""Sample answers of earlier attempts: what is kept of them, and what is shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from finetune_api import ResolvedJob
from finetune_trainer.evaluation.generations import FILE, Generations
from finetune_trainer.model.tokenizers import Tokenizer

MakeJob = Callable[..., ResolvedJob]

PROMPTS = ["add 1 and 1", "add 1 and 2"]


@pytest.fixture
def generations(make_job: MakeJob, tmp_path: Path) -> Generations:
    job = make_job({"evaluation": {"generations": {"prompts": PROMPTS}}})
    (tmp_path / "run").mkdir()
    spec = job.spec.evaluation.generations
    assert spec is not None
    return Generations(spec, job, cast(Tokenizer, None), first=True, drawn=lambda: None)


def write(directory: Path, *rounds: tuple[int, list[str]]) -> Path:
    file = directory / "run" / FILE
    lines = [
        json.dumps({"step": step, "prompt": prompt, "answer": answer}, ensure_ascii=False)
        for step, answers in rounds
        for prompt, answer in zip(PROMPTS, answers, strict=False)
    ]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def resume(generations: Generations, step: int) -> None:
    state: Any = TrainerState(global_step=step)
    generations.on_train_begin(cast(TrainingArguments, None), state, TrainerControl())


@pytest.mark.parametrize("answer", ["2", "2\n3", "2\u20283", "2\x853"])
def test_whole_rounds_up_to_the_resumed_step_are_kept(
    generations: Generations, tmp_path: Path, answer: str
) -> None:
    file = write(tmp_path, (0, ["a", "b"]), (2, [answer, "c"]), (4, ["d", "e"]))
    resume(generations, 2)
    steps = [json.loads(line)["step"] for line in file.read_text(encoding="utf-8").split("\n") if line]
    assert steps == [0, 0, 2, 2]
    first, _ = generations.status()
    assert (first.before, first.after) == ("a", answer)


def test_a_round_that_was_cut_off_is_drawn_again(generations: Generations, tmp_path: Path) -> None:
    file = write(tmp_path, (0, ["a", "b"]), (2, ["c"]))
    with file.open("a", encoding="utf-8") as torn:
        torn.write('{"step": 2, "pro')
    resume(generations, 2)
    assert list(generations.answers) == [0]
