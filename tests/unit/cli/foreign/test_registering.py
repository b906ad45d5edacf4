"""What a job says of its data becomes an entry of dataset_info.json, and comes back from there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.errors import CommandError
from finetune_cli.foreign.registering import merged, registered
from finetune_cli.main import main

HUB = {"dataset.train.hub.id": "org/data", "dataset.train.hub.split": "train"}


def entry(**values: Any) -> dict[str, Any]:
    """The entry for training data of the hub, without its place."""
    named = {path.replace("_", "."): value for path, value in values.items()}
    written, _ = registered({**HUB, **named}, "dataset.train")
    return {key: value for key, value in written.items() if key not in ("hf_hub_url", "split")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"dataset_format": "alpaca"}, {"formatting": "alpaca"}),
        (
            {"dataset_format": "alpaca", "dataset_columns_output": "answer"},
            {
                "formatting": "alpaca",
                "columns": {"prompt": "instruction", "query": "input", "response": "answer"},
            },
        ),
        ({"dataset_format": "sharegpt"}, {"formatting": "sharegpt"}),
        ({"dataset_format": "text"}, {"formatting": "alpaca", "columns": {"prompt": "text"}}),
        (
            {"dataset_format": "csv"},
            {"formatting": "alpaca", "columns": {"prompt": "input", "response": "output"}},
        ),
        (
            {"dataset_format": "preference", "training_stage": "dpo"},
            {
                "formatting": "alpaca",
                "ranking": True,
                "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
            },
        ),
        (
            {"dataset_format": "promptCompletion", "training_stage": "kto"},
            {
                "formatting": "alpaca",
                "columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"},
            },
        ),
    ],
    ids=lambda value: str(value.get("dataset_format", "")) if isinstance(value, dict) else "",
)
def test_a_format_is_told_by_theirs_and_either_no_column_or_all(
    values: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert entry(**values) == expected


def test_messages_are_sharegpt_with_other_tags() -> None:
    found = entry(dataset_format="messages")
    assert found["formatting"] == "sharegpt"
    assert found["columns"] == {"messages": "messages"}
    assert (found["tags"]["role_tag"], found["tags"]["user_tag"]) == ("role", "user")
    named = entry(dataset_format="messages", dataset_columns_role="speaker")["tags"]
    assert (named["role_tag"], named["content_tag"]) == ("speaker", "content")


COLUMNS = (
    {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
    | dict.fromkeys(("history", "system", "tools", "images", "videos", "audios"))
    | dict.fromkeys(("chosen", "rejected", "kto_tag"))
)
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


def read_there(entry: dict[str, Any]) -> dict[str, str]:
    """What LLaMA-Factory reads by this entry, by the rule of its src/llamafactory/data/parser.py (85b0f312).

    An entry that has `columns`, or `tags`, sets all of them; those that it does not name become None.
    """
    found: dict[str, str | None] = {**COLUMNS, **TAGS}
    for section, names in (("columns", COLUMNS), ("tags", TAGS)):
        if section in entry:
            found |= {name: entry[section].get(name) for name in names}
    kept = ("messages", *TAGS) if entry["formatting"] == "sharegpt" else ("prompt", "query", "response")
    kept += ("history", "system", "tools", "chosen", "rejected", "kto_tag")
    return {name: called for name in kept if (called := found[name]) is not None}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"dataset_format": "alpaca", "dataset_columns_output": "answer"},
            {"prompt": "instruction", "query": "input", "response": "answer"},
        ),
        (
            {"dataset_format": "alpaca", "dataset_columns_system": "persona"},
            {"prompt": "instruction", "query": "input", "response": "output", "system": "persona"},
        ),
        (
            {"dataset_format": "alpaca", "training_stage": "kto"},
            {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"},
        ),
        ({"dataset_format": "csv"}, {"prompt": "input", "response": "output"}),
        (
            {"dataset_format": "csv", "dataset_columns_instruction": "task"},
            {"prompt": "task", "response": "output"},
        ),
        (
            {
                "dataset_format": "csv",
                "dataset_columns_instruction": "task",
                "dataset_columns_input": "more",
            },
            {"prompt": "task", "query": "more", "response": "output"},
        ),
        ({"dataset_format": "text", "dataset_columns_text": "instruction"}, {"prompt": "instruction"}),
        (
            {
                "dataset_format": "promptCompletion",
                "dataset_columns_prompt": "instruction",
                "dataset_columns_completion": "output",
            },
            {"prompt": "instruction", "response": "output"},
        ),
        ({"dataset_format": "sharegpt"}, {"messages": "conversations", **TAGS}),
        (
            {"dataset_format": "sharegpt", "dataset_columns_tools": "functions"},
            {"messages": "conversations", "tools": "functions", **TAGS},
        ),
        (
            {"dataset_format": "sharegpt", "dataset_columns_role": "speaker"},
            {"messages": "conversations", **TAGS, "role_tag": "speaker"},
        ),
        (
            {"dataset_format": "messages"},
            {
                "messages": "messages",
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "observation_tag": "tool",
                "function_tag": "function_call",
                "system_tag": "system",
            },
        ),
    ],
)
def test_llama_factory_reads_the_columns_and_tags_that_the_job_names(
    values: dict[str, Any], expected: dict[str, str]
) -> None:
    assert read_there(entry(**values)) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"dataset.format": "oasst", **HUB},
        {"dataset.format": "alpaca", "dataset.train.pvc.claimName": "data"},
    ],
)
def test_what_llama_factory_can_t_read_has_no_entry(values: dict[str, Any]) -> None:
    assert registered(values, "dataset.train") == ({}, set())


def test_an_object_of_a_store_is_a_cloud_file() -> None:
    values = {"dataset.format": "alpaca", "dataset.train.s3.uri": "s3://bucket/key.jsonl"}
    entry, said = registered(values, "dataset.train")
    assert entry["cloud_file_name"] == "s3://bucket/key.jsonl"
    assert "dataset.train.s3.uri" in said


JOB = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: pairs}
spec:
  model: {id: org/base}
  dataset:
    format: FORMAT
    train: {hub: {id: org/data, config: small, split: validation}}
    eval: {path: /data/held-out.jsonl}
  training: {stage: STAGE}
"""


@pytest.mark.parametrize(
    ("form", "stage"),
    [
        ("alpaca", "sft"),
        ("sharegpt", "sft"),
        ("messages", "sft"),
        ("promptCompletion", "sft"),
        ("promptCompletion", "kto"),
        ("preference", "dpo"),
        ("text", "pretrain"),
    ],
)
def test_an_export_with_its_data_comes_back_the_same(tmp_path: Path, form: str, stage: str) -> None:
    job, config, again = (tmp_path / name for name in ("job.yaml", "config.yaml", "again.yaml"))
    job.write_text(JOB.replace("FORMAT", form).replace("STAGE", stage))
    assert main(["export", str(job), "--to", "llamafactory", "-o", str(config)]) == 0
    assert set(json.loads((tmp_path / "dataset_info.json").read_text())) == {"pairs", "pairs-eval"}
    assert main(["import", "-o", str(again), str(config)]) == 0
    spec = yaml.safe_load(again.read_text())["spec"]
    assert spec["training"]["stage"] == stage
    assert spec["dataset"]["format"] == form
    assert spec["dataset"]["train"] == {"hub": {"id": "org/data", "config": "small", "split": "validation"}}
    assert spec["dataset"]["eval"] == {"path": "/data/held-out.jsonl"}


def test_without_a_file_to_lie_beside_it_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.replace("FORMAT", "alpaca").replace("STAGE", "sft"))
    assert main(["export", str(job), "--to", "llamafactory"]) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["dataset"] == "pairs"
    assert '"hf_hub_url": "org/data"' in printed.err
    assert "lost: dataset" not in printed.err


def test_data_sets_that_are_there_stay_and_are_not_replaced_unasked(tmp_path: Path) -> None:
    file = tmp_path / "dataset_info.json"
    file.write_text('{"other": {"file_name": "o.json"}, "ours": {}}')
    with pytest.raises(CommandError, match="ours is another data set there"):
        merged({"ours": {"file_name": "n.json"}}, file, force=False)
    assert json.loads(merged({"ours": {"file_name": "n.json"}}, file, force=True)) == {
        "other": {"file_name": "o.json"},
        "ours": {"file_name": "n.json"},
    }


def test_a_file_that_is_no_json_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "dataset_info.json"
    file.write_text("no json")
    with pytest.raises(CommandError, match="can't be read as JSON"):
        merged({"ours": {}}, file, force=True)
