"""Answers to a file of prompts."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api import ExitCode
from finetune_api.stages import SamplingSpec
from finetune_trainer.__main__ import main
from finetune_trainer.data.asking import Prompt
from finetune_trainer.errors import DataError
from finetune_trainer.output import sample
from finetune_trainer.output.sample import answer, answer_file, under

SHORT = SamplingSpec(max_new_tokens=4, temperature=0)


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_each_line_is_copied_with_an_answer(tiny_model: Path, tmp_path: Path) -> None:
    prompts: list[dict[str, object]] = [
        {"prompt": "add 1 and 1", "expected": "2"},
        {"instruction": "add", "input": "1 and 2", "output": "3"},
        {"messages": [{"role": "user", "content": "add 2 and 2"}, {"role": "assistant", "content": "4"}]},
    ]
    out = tmp_path / "out.jsonl"
    answer_file(str(tiny_model), None, write(tmp_path / "p.jsonl", prompts), out, SHORT, batch_size=2)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [{key: value for key, value in line.items() if key != "answer"} for line in lines] == prompts
    assert all(isinstance(line["answer"], str) for line in lines)
    again = tmp_path / "again.jsonl"
    answer_file(str(tiny_model), None, tmp_path / "p.jsonl", again, SHORT, batch_size=1)
    assert again.read_text() == out.read_text()


def test_a_file_is_answered_as_the_command_says(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[Prompt], SamplingSpec]] = []

    def note(
        _model: Any, _tokenizer: Any, prompts: list[Prompt], sampling: SamplingSpec, **_: Any
    ) -> list[str]:
        asked.append((prompts, sampling))
        return ["2"]

    monkeypatch.setattr(sample, "answer", note)
    prompts, out = write(tmp_path / "p.jsonl", [{"prompt": "1 and 1"}]), tmp_path / "out.jsonl"
    words = [f"--model={tiny_model}", f"--prompts={prompts}", f"--out={out}", "--system=Add."]
    assert main(["generate", *words, "--max-new-tokens=4", "--temperature=0.5", "--top-p=0.9"]) == 0
    turns = [{"role": "system", "content": "Add."}, {"role": "user", "content": "1 and 1"}]
    assert asked == [([turns], SamplingSpec(max_new_tokens=4, temperature=0.5, top_p=0.9))]
    assert json.loads(out.read_text()) == {"prompt": "1 and 1", "answer": "2"}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("--temperature=-1", "--temperature: -1.0"),
        ("--top-p=2", "--top-p: 2.0"),
        ("--max-new-tokens=0", "--max-new-tokens: 0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], setting: str, says: str
) -> None:
    assert main(["generate", f"--model={tiny_model}", "--prompt=x", setting]) == ExitCode.INVALID_CONFIG
    assert says in capsys.readouterr().err


def test_a_conversation_has_one_system_turn() -> None:
    turns = [{"role": "user", "content": "x"}]
    assert under(None, turns) == turns
    assert under("s", turns) == [{"role": "system", "content": "s"}, *turns]
    assert under("other", under("s", turns)) == under("s", turns)


@pytest.mark.parametrize("words", [2, 500])
def test_an_answer_ends_at_the_last_of_the_model_s_positions(tiny_gpt2: Path, words: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    long = SamplingSpec(max_new_tokens=1000, temperature=0)
    [said] = answer(model, tokenizer, [" ".join(["add"] * words)], long, batch_size=1)
    assert len(tokenizer(said)["input_ids"]) <= 128


def test_a_line_without_a_prompt_is_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p.jsonl, line 1: 'instruction' is missing"):
        answer_file(
            str(tiny_model), None, write(tmp_path / "p.jsonl", [{"x": 1}]), tmp_path / "o.jsonl", SHORT
        )
