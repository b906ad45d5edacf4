"""What a job says of its data becomes an entry of dataset_info.json, and comes back from there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.errors import CommandError
from finetune_cli.foreign.registering import register, registered
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
            {"formatting": "alpaca", "columns": {"response": "answer"}},
        ),
        ({"dataset_format": "sharegpt"}, {"formatting": "sharegpt"}),
        ({"dataset_format": "text"}, {"formatting": "alpaca", "columns": {"prompt": "text"}}),
        (
            {"dataset_format": "csv"},
            {"formatting": "alpaca", "columns": {"prompt": "input"}},
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
def test_a_format_is_told_by_theirs_and_the_columns_that_differ(
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


@pytest.mark.parametrize(
    "values",
    [
        {"dataset.format": "oasst", **HUB},
        {"dataset.format": "alpaca", "dataset.train.s3.uri": "s3://bucket/key"},
    ],
)
def test_what_llama_factory_can_t_read_has_no_entry(values: dict[str, Any]) -> None:
    assert registered(values, "dataset.train") == ({}, set())


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
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "o.json"}, "ours": {}}')
    with pytest.raises(CommandError, match="ours is another data set there"):
        register({"ours": {"file_name": "n.json"}}, tmp_path, force=False)
    register({"ours": {"file_name": "n.json"}}, tmp_path, force=True)
    assert json.loads((tmp_path / "dataset_info.json").read_text()) == {
        "other": {"file_name": "o.json"},
        "ours": {"file_name": "n.json"},
    }


def test_a_file_that_is_no_json_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("no json")
    with pytest.raises(CommandError, match="can't be read as JSON"):
        register({"ours": {}}, tmp_path, force=True)
