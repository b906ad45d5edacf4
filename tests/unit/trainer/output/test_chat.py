"""Talking to a model: a whole one, a merged one, or an adapter on its base."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api.stages import SamplingSpec
from finetune_trainer.__main__ import main
from finetune_trainer.errors import ModelLoadError
from finetune_trainer.output.chat import Places, Talk, places
from finetune_trainer.output.sample import answer

SHORT = SamplingSpec(max_new_tokens=6, temperature=0)


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    directory = tmp_path / "adapter"
    get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM")).save_pretrained(directory)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(directory)
    return directory


def test_an_adapter_says_which_base_it_is_for(tiny_model: Path, adapter: Path) -> None:
    assert places(str(tiny_model), None) == Places(str(tiny_model))
    assert places(str(tiny_model), str(adapter)) == Places(str(tiny_model), str(adapter))
    assert places(str(adapter), None) == Places(str(tiny_model), str(adapter))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ModelLoadError, match="--adapter"):
        places(str(adapter), None)


def test_an_adapter_s_own_base_is_loaded_as_it_was_trained_on(adapter: Path, tmp_path: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    told = config | {"base_model_name_or_path": "me/base", "revision": "0a1b2c"}
    (adapter / "adapter_config.json").write_text(json.dumps(told))
    assert places(str(adapter), None) == Places("me/base", str(adapter), "0a1b2c")
    assert places("me/base", str(adapter)) == Places("me/base", str(adapter), "0a1b2c")
    assert places("me/another", str(adapter)) == Places("me/another", str(adapter))


def test_the_revision_is_what_is_loaded(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    load = AutoModelForCausalLM.from_pretrained

    def loaded(place: str, *, revision: str, **settings: Any) -> Any:
        asked.append(revision)
        return load(place, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loaded)
    Talk.load(Places(str(tiny_model), revision="0a1b2c"), SHORT, io.StringIO())
    Talk.load(Places(str(tiny_model)), SHORT, io.StringIO())
    assert asked == ["0a1b2c", "main"]


def test_turns_are_remembered_until_they_are_to_be_forgotten(tiny_model: Path) -> None:
    out = io.StringIO()
    talk = Talk.load(Places(str(tiny_model)), SHORT, out, system="Add.")
    talk.listen(iter(["add 1 and 1\n", "\n", "add 2 and 2\n"]))
    assert [turn["role"] for turn in talk.turns] == ["system", "user", "assistant", "user", "assistant"]
    expected = answer(talk.model, talk.tokenizer, [talk.turns[:4]], SHORT, batch_size=1)
    assert talk.turns[4]["content"] == expected[0]
    assert len(out.getvalue().splitlines()) >= 2
    talk.listen(iter(["/new\n", "add 1 and 1\n", "/quit\n", "never read\n"]))
    assert [turn["content"] for turn in talk.turns[:2]] == ["Add.", "add 1 and 1"]
    assert len(talk.turns) == 3


def test_the_command_answers_a_prompt_or_each_line(
    tiny_model: Path, adapter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["generate", f"--model={adapter}", "--prompt=add 1 and 1", "--max-new-tokens=6"]) == 0
    once = capsys.readouterr().out
    assert once.endswith("\n"), "even a model that knows nothing ends its line"
    monkeypatch.setattr("sys.stdin", io.StringIO("add 1 and 1\n"))
    assert main(["generate", f"--model={tiny_model}", "--max-new-tokens=6"]) == 0
    assert capsys.readouterr().out == once, "a fresh adapter changes nothing"


def test_who_interrupts_it_sees_no_traceback(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Talk, "listen", interrupted)
    assert main(["generate", f"--model={tiny_model}"]) == 130


def test_text_is_continued_as_it_is(tiny_model: Path) -> None:
    talk = Talk.load(Places(str(tiny_model)), SHORT, io.StringIO(), plain=True)
    said = talk.say("add 1")
    assert said == answer(talk.model, talk.tokenizer, ["add 1"], SHORT, batch_size=1)[0]
    assert talk.turns == []


def test_a_model_that_is_not_there_ends_with_its_own_status(tmp_path: Path) -> None:
    assert main(["generate", f"--model={tmp_path}", "--prompt=x"]) == 15
