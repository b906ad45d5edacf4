"""What a job becomes before it is checked: `--set` first, then its preset."""

from pathlib import Path

import pytest

from finetune_cli.main import main
from finetune_cli.manifests import load
from finetune_cli.preparation import PreparedJob, prepare
from finetune_cli.yaml_reader import YamlError

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  preset: %s
  model: {id: org/model}
  dataset: {train: {path: /data}}
  training: {epochs: 1}
"""
PRESET = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTunePreset
metadata: {name: ours}
spec:
  title: Ours
  values: {training: {learningRate: 0.5, epochs: 7}}
"""


def prepared(tmp_path: Path, text: str, *overrides: str) -> PreparedJob:
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    manifest = load(str(file))
    return prepare(manifest.jobs[0], manifest.presets, overrides)


def test_a_built_in_preset_is_filled_in_and_recorded(tmp_path: Path) -> None:
    job = prepared(tmp_path, JOB % "chat")
    assert job.body["spec"]["dataset"]["format"] == "messages"
    assert "preset" not in job.body["spec"]
    assert job.body["metadata"] == {"name": "job", "annotations": {"finetune.dev/preset": "chat"}}


def test_each_value_knows_where_it_came_from(tmp_path: Path) -> None:
    origins = prepared(tmp_path, JOB % "chat", "training.learningRate=1e-4").origins
    assert origins["training.epochs"] == "manifest"
    assert origins["training.learningRate"] == "--set"
    assert origins["dataset.format"] == "preset chat"


def test_the_preset_itself_can_be_chosen_with_set(tmp_path: Path) -> None:
    assert prepared(tmp_path, JOB % "chat", "preset=instruct").body["spec"]["dataset"]["format"] == "alpaca"


def test_a_preset_in_the_files_comes_before_a_built_in_one(tmp_path: Path) -> None:
    training = prepared(tmp_path, PRESET + "---\n" + JOB % "ours").body["spec"]["training"]
    assert training == {"learningRate": 0.5, "epochs": 1}


def test_an_unknown_preset_is_named_with_its_place_and_a_guess(tmp_path: Path) -> None:
    with pytest.raises(YamlError) as caught:
        prepared(tmp_path, JOB % "chatt")
    assert (caught.value.code, str(caught.value.position)) == ("UnknownPreset", "line 5, column 3")
    assert caught.value.remedy == "Did you mean chat?"


def test_keys_with_dots_in_them_are_no_paths(tmp_path: Path) -> None:
    text = JOB % "chat" + "  resources: {nodeSelector: {example.org/gpu: a100}}\n"
    job = prepared(tmp_path, text, "training.seed=7")
    assert job.body["spec"]["resources"]["nodeSelector"] == {"example.org/gpu": "a100"}
    assert job.origins["resources.nodeSelector.example.org/gpu"] == "manifest"


@pytest.mark.parametrize("metadata", ["[]", "text", "{annotations: [1]}", "{annotations: text}", "null"])
def test_broken_metadata_is_left_to_the_validator(tmp_path: Path, metadata: str) -> None:
    job = prepared(tmp_path, (JOB % "chat").replace("{name: job}", metadata))
    assert job.body["spec"]["dataset"]["format"] == "messages"


@pytest.mark.parametrize("preset", ["5", "[chat]", "''", "null"])
def test_what_is_no_name_of_a_preset_is_left_to_the_validator(tmp_path: Path, preset: str) -> None:
    assert "format" not in prepared(tmp_path, JOB % preset).body["spec"]["dataset"]


def test_a_preset_without_values_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(YamlError) as caught:
        prepared(tmp_path, PRESET.replace("values", "valves") + "---\n" + JOB % "ours")
    assert caught.value.code == "InvalidPreset"
    assert caught.value.position is not None


def test_validate_knows_the_presets_of_all_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, preset = tmp_path / "job.yaml", tmp_path / "preset.yaml"
    job.write_text(JOB % "ours")
    preset.write_text(PRESET)
    assert main(["validate", str(job)]) == 1
    assert "error UnknownPreset: preset: " in capsys.readouterr().out
    assert main(["validate", str(job), str(preset)]) == 0
    assert "training.learningRate: 0.5 is high" in capsys.readouterr().out


def test_set_is_checked_like_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB % "instruct")
    assert main(["validate", str(file), "--set", "training.epochs=many"]) == 1
    assert "error WrongType: training.epochs: many" in capsys.readouterr().out
    assert main(["validate", str(file), "--set", "training.epochs"]) == 2
    assert "write PATH=VALUE" in capsys.readouterr().err
