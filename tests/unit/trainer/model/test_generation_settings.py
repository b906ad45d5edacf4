"""What results say of their answers' ends, and of bases whose settings are at odds."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from finetune_api import ResolvedJob
from finetune_api.stages import SamplingSpec
from finetune_trainer.data.asking import end_tokens
from finetune_trainer.model.generation_settings import settle, take_up, writable
from finetune_trainer.output.chat import Talk, places
from finetune_trainer.output.export import load_output
from one_rank import train

MakeJob = Callable[..., ResolvedJob]

SHORT = SamplingSpec(max_new_tokens=4, temperature=0)
SAMPLED = {"temperature": 0.9, "top_p": 0.6}
"""As many a base has been published: how to sample, but not that it is to be sampled."""


def settings_in(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "generation_config.json").read_text())
    return found


def test_a_written_model_ends_where_its_template_closes_a_turn(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens([AddedToken("<|eot|>", special=True)])
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + m['content'] + '<|eot|>' }}{% endfor %}"
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    settle(model, end_tokens(tokenizer))
    model.save_pretrained(tmp_path)
    ends = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config.eos_token_id
    assert set(ends) == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot|>")}


def test_settings_of_sampling_mean_that_it_is_sampled(tmp_path: Path) -> None:
    made = writable(GenerationConfig(**SAMPLED, eos_token_id=7))
    made.save_pretrained(tmp_path)
    assert settings_in(tmp_path).items() >= {**SAMPLED, "do_sample": True, "eos_token_id": 7}.items()


def test_of_settings_at_odds_the_tokens_are_left(tmp_path: Path) -> None:
    writable(GenerationConfig(num_beams=1, length_penalty=2.0, eos_token_id=7)).save_pretrained(tmp_path)
    told = settings_in(tmp_path)
    assert told["eos_token_id"] == 7
    assert "length_penalty" not in told


def test_settings_without_a_flaw_stay_as_they_are() -> None:
    greedy = GenerationConfig(repetition_penalty=1.1)
    assert writable(greedy) is greedy
    assert not greedy.do_sample


def test_a_base_without_settings_beside_its_adapter_keeps_its_own(tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = model.generation_config
    take_up(model, tmp_path)
    assert model.generation_config is before


@pytest.mark.slow
def test_an_adapter_brings_the_ends_of_its_answers(
    make_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    end, turn = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>"])
    (base / "generation_config.json").write_text(json.dumps({**SAMPLED, "eos_token_id": end}))
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_start|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    spec = {
        "model": {"path": str(base), "tokenizer": {"chatTemplate": template}},
        "method": {"type": "lora", "lora": {"rank": 2}},
        "training": {"maxSteps": 1},
        "output": {"mergeAdapter": True},
    }
    job = make_job(spec)
    train(job)
    output = Path(job.paths.output_directory)
    (checkpoint,) = Path(job.paths.run_directory).glob("checkpoints/step-*")
    for directory in (output / "adapter", output / "merged", checkpoint):
        assert settings_in(directory)["eos_token_id"] == sorted([end, turn])

    adapter = output / "adapter"
    talk = Talk.load(places(str(adapter), None), SHORT, io.StringIO())
    for model in (talk.model, load_output(base, adapter, "auto")):
        assert model.generation_config.eos_token_id == sorted([end, turn])
