"""`finetune explain`: what a field means, and what a job has there."""

import json
from pathlib import Path

import pytest

from finetune_api.validation.capabilities import LIMITS
from finetune_cli.errors import CommandError
from finetune_cli.fields import all_fields, field_at
from finetune_cli.main import main

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  preset: instruct
  model: {id: org/model}
  dataset: {train: {path: /data}}
  training: {epochs: 1}
  resources: {nodeSelector: {example.org/gpu: a100}}
"""


@pytest.fixture
def job(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)
    return str(file)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_field_shows_its_type_range_default_and_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "training.learningRate") == (
        "training.learningRate: number, > 0, ≤ 10\n"
        "  Peak learning rate, after the warm-up.\n"
        "  section: training\n"
        "  default: 0.0002\n"
    )


def test_a_choice_shows_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    shown = explained(capsys, "quantization.type")
    assert "quantization.type: one of auto, none, int8, int4, nf4, fp4\n" in shown


def test_a_number_that_may_be_auto_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    shown = explained(capsys, "training.microBatchSize")
    assert "training.microBatchSize: auto, or integer, ≥ 1, ≤ 65536\n" in shown


def test_a_section_lists_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, "method")
    assert "  method.type  " in text
    assert "method.lora.rank" not in text


def test_without_a_field_the_sections_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  training  " in explained(capsys)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["training.epochs"], "in this job: 1.0 (manifest)"),
        (["dataset.format"], "in this job: alpaca (preset instruct)"),
        (["training.seed"], "in this job: 42 (default)"),
        (["training.seed", "--set", "training.seed=7"], "in this job: 7 (--set)"),
        (["training.neftuneNoiseAlpha"], "in this job: absent (default)"),
        (["resources.nodeSelector"], 'in this job: {"example.org/gpu": "a100"} (manifest)'),
    ],
)
def test_with_a_file_each_value_says_where_it_came_from(
    capsys: pytest.CaptureFixture[str], job: str, arguments: list[str], line: str
) -> None:
    field, *rest = arguments
    assert line in explained(capsys, field, job, *rest)


def test_json_holds_the_same_and_the_default_in_its_own_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(explained(capsys, "training.learningRate", "-o", "json")) == {
        "path": "training.learningRate",
        "type": "number, > 0, ≤ 10",
        "description": "Peak learning rate, after the warm-up.",
        "required": False,
        "default": 2e-4,
        "fields": [],
    }


def test_json_of_a_section_holds_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    method = json.loads(explained(capsys, "method", "-o", "json"))
    assert method["type"] == "section"
    assert "method.type" in [field["path"] for field in method["fields"]]
    spec = json.loads(explained(capsys, "-o", "json"))
    assert {"model", "dataset", "training"} <= {field["path"] for field in spec["fields"]}


def test_json_with_a_file_holds_the_jobs_values_and_where_they_came_from(
    capsys: pytest.CaptureFixture[str], job: str
) -> None:
    training = json.loads(explained(capsys, "training", job, "-o", "json"))
    values = {field["path"]: (field.get("value"), field.get("origin")) for field in training["fields"]}
    assert values["training.epochs"] == (1.0, "manifest")
    assert values["training.seed"] == (42, "default")
    assert values["training.neftuneNoiseAlpha"] == (None, "default")


def test_a_field_says_what_this_version_takes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    for limit in LIMITS:
        taken = "its default" if limit.values is None else ", ".join(map(str, limit.values))
        assert f"  this version takes only {taken}\n" in explained(capsys, limit.path)
    assert "this version" not in explained(capsys, "training.learningRate")


@pytest.mark.parametrize(
    "spelling", ["training.learningRate", "spec.training.learning_rate", "ftj.spec.training.learningRate"]
)
def test_a_field_is_found_by_each_of_its_spellings(spelling: str) -> None:
    assert field_at(spelling).path == "training.learningRate"


def test_items_of_lists_are_fields_too() -> None:
    assert field_at("resources.env[0].name").path == "resources.env[].name"


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("resources.nodeSelector.zone", "resources.nodeSelector"),
        ("status.effective.resume", "status.effective"),
    ],
)
def test_a_key_of_a_map_is_explained_by_the_map(key: str, field: str) -> None:
    assert field_at(key).path == field


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("learningRate", "training.learningRate"),
        ("training.learnRate", "training.learningRate"),
        ("batch_size", "training.microBatchSize"),
        ("num_train_epochs", "training.epochs"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(CommandError, match=f"did you mean {meant}"):
        field_at(wrong)


def test_an_unknown_field_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "xyzzy"]) == 2
    assert capsys.readouterr().err.startswith("finetune explain: xyzzy is not a field of the API")


def test_every_field_has_a_description() -> None:
    assert [path for path, field in all_fields().items() if not field.description] == []


def test_fields_of_the_status_are_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "status.attempts[0].exitCode"]) == 0
    assert "Exit status of the container" in capsys.readouterr().out
    assert main(["explain", "status"]) == 0
    assert "status.phase" in capsys.readouterr().out
    assert main(["explain", "status.fase"]) == 2
    assert "did you mean status.phase?" in capsys.readouterr().err
