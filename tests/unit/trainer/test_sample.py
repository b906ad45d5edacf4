"""Answers to a file of prompts."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api.stages import SamplingSpec
from finetune_trainer.errors import DataError
from finetune_trainer.sample import answer, answer_file


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
    answer_file(
        str(tiny_model), None, write(tmp_path / "p.jsonl", prompts), out, max_new_tokens=4, batch_size=2
    )
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [{key: value for key, value in line.items() if key != "answer"} for line in lines] == prompts
    assert all(isinstance(line["answer"], str) for line in lines)
    again = tmp_path / "again.jsonl"
    answer_file(str(tiny_model), None, tmp_path / "p.jsonl", again, max_new_tokens=4, batch_size=1)
    assert again.read_text() == out.read_text()


@pytest.mark.parametrize("words", [2, 500])
def test_an_answer_ends_at_the_last_of_the_model_s_positions(tiny_gpt2: Path, words: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    long = SamplingSpec(max_new_tokens=1000, temperature=0)
    [said] = answer(model, tokenizer, [" ".join(["add"] * words)], long, batch_size=1)
    assert len(tokenizer(said)["input_ids"]) <= 128


def test_a_line_without_a_prompt_is_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p.jsonl, line 1: 'instruction' is missing"):
        answer_file(str(tiny_model), None, write(tmp_path / "p.jsonl", [{"x": 1}]), tmp_path / "o.jsonl")
