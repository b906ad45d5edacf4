"""What dataset_info.json says of a name becomes the job's data, by LLaMA-Factory's own rules."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.fields import all_fields
from finetune_cli.foreign import dataset_info
from finetune_cli.foreign.importing import import_job
from finetune_cli.foreign.reading import Line, flatten
from finetune_cli.foreign.rules import Mapped

INFO: dict[str, Any] = {
    "pairs": {
        "hf_hub_url": "org/pairs",
        "ranking": True,
        "formatting": "sharegpt",
        "columns": {"messages": "turns", "chosen": "good", "rejected": "bad"},
        "tags": {"role_tag": "role", "user_tag": "client"},
    },
    "own": {
        "file_name": "own.json",
        "columns": {"prompt": "task", "query": "more", "response": "answer"},
    },
    "answers": {"hf_hub_url": "org/answers", "columns": {"prompt": "input", "response": "reply"}},
    "plain": {"file_name": "plain.txt"},
    "openai": {
        "file_name": "../openai.json",
        "formatting": "sharegpt",
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user"},
    },
    "elsewhere": {
        "ms_hub_url": "org/there",
        "script_url": "load.py",
        "cloud_file_name": "s3://bucket/key",
        "folder": "part",
        "num_samples": 5,
        "split": "validation",
    },
}

Imported = Callable[[dict[str, str]], tuple[dict[str, Any], dict[str, Line]]]


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    """Import a configuration that names data sets; the spec by path, and what became of each key."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset_info.json").write_text(json.dumps(INFO))

    def read(document: dict[str, str]) -> tuple[dict[str, Any], dict[str, Line]]:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({"model_name_or_path": "org/base", "stage": "sft", **document}))
        manifest, reading = import_job(str(file), [], "llamafactory", "job")
        return dict(flatten(manifest["spec"])), {line.key: line for line in reading.lines}

    return read


def test_it_says_where_data_is_and_what_its_columns_are_called(imported: Imported) -> None:
    spec, lines = imported({"dataset": "pairs"})
    assert spec["dataset.train.hub.id"] == "org/pairs"
    assert spec["dataset.format"] == "preference"
    assert spec["dataset.columns.chosen"] == "good"
    assert spec["dataset.columns.role"] == "role"
    renamed = lines["dataset_info.tags.user_tag"]
    assert not renamed.mapped
    assert "rename 'client' to 'human'" in renamed.note


@pytest.mark.parametrize(("name", "path"), [("own", "./data/own.json"), ("openai", "./openai.json")])
def test_a_file_is_named_from_dataset_dir_which_is_looked_for_where_the_command_runs(
    imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert imported({"dataset": name})[0]["dataset.train.path"] == path


def test_a_dataset_dir_that_is_not_there_is_looked_for_beside_the_configuration(
    imported: Imported, tmp_path: Path
) -> None:
    spec, _ = imported({"dataset": "own"})
    assert spec["dataset.train.path"] == str(tmp_path / "data/own.json")
    assert spec["dataset.columns.instruction"] == "task"


def test_a_column_of_messages_that_is_left_out_is_the_one_that_llama_factory_reads(
    imported: Imported,
) -> None:
    spec, lines = imported({"dataset": "openai"})
    assert (spec["dataset.format"], spec["dataset.columns.messages"]) == ("messages", "conversations")
    assert (spec["dataset.columns.role"], spec["dataset.columns.content"]) == ("role", "content")
    assert [line for line in lines.values() if not line.mapped] == []


def test_an_alpaca_without_further_input_is_prompts_and_completions(imported: Imported) -> None:
    """Our alpaca reads a column called input where there is one; LLaMA-Factory reads what is named."""
    spec, lines = imported({"dataset": "answers"})
    columns = {path: name for path, name in spec.items() if path.startswith("dataset.columns.")}
    assert spec["dataset.format"] == "promptCompletion"
    assert columns == {"dataset.columns.prompt": "input", "dataset.columns.completion": "reply"}
    assert lines["dataset_info.columns.response"].paths == ("dataset.columns.completion",)


def test_plain_text_whose_column_is_left_out_is_in_the_instruction(imported: Imported) -> None:
    spec, _ = imported({"dataset": "plain", "stage": "pt"})
    assert (spec["dataset.format"], spec["dataset.columns.text"]) == ("text", "instruction")


@pytest.mark.parametrize(("key", "part"), [("dataset", "dataset.train"), ("eval_dataset", "dataset.eval")])
@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("nosuch", "not found under dataset_dir: set {part} to what it stands for"),
        ("nosuch,pairs", "a job reads one data set: join them first"),
    ],
)
def test_a_name_that_is_not_in_it_is_not_mapped(
    imported: Imported, key: str, part: str, name: str, note: str
) -> None:
    spec, lines = imported({"dataset": "own", key: name})
    assert lines[key].note.endswith(note.format(part=part))
    assert not [path for path in spec if path.startswith(f"{part}.")]


def test_of_evaluation_data_every_key_is_known_and_its_reason_is_about_it(imported: Imported) -> None:
    spec, lines = imported({"dataset": "own", "eval_dataset": "elsewhere"})
    notes = {key.removeprefix("eval_dataset_info."): line.note for key, line in lines.items()}
    assert spec["dataset.eval.hub.split"] == "validation"
    assert spec["evaluation.maxSamples"] == 5
    assert "dataset.maxSamples" not in spec
    assert notes["folder"] == "name the file in dataset.eval"
    assert spec["dataset.eval.s3.uri"] == "s3://bucket/key"
    assert notes["script_url"] == "scripts that load data are not run"
    assert notes["ms_hub_url"].startswith("ModelScope is not read")


@pytest.mark.parametrize("table", [dataset_info.TABLE, dataset_info.EVAL_TABLE], ids=["train", "eval"])
def test_every_field_that_it_sets_is_one_of_ours(table: dict[str, Any]) -> None:
    values: dict[str, Any] = {"formatting": "alpaca", "ranking": True}
    for key, rule in table.items():
        result = rule.read(values.get(key, "name"))
        if isinstance(result, Mapped):
            assert set(result.values) <= set(all_fields()), key
