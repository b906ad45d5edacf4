"""Where a configuration is read from: one document, of a file or of standard input."""

import io
import sys
from pathlib import Path

import pytest
import yaml

from finetune_cli.foreign.programs import FORMATS, TITLES
from finetune_cli.main import main, parser_for, parsers_in

CONFIGURATION = "base_model: org/model\nadapter: lora\nmicro_batch_size: 3\n"


def test_a_configuration_may_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONFIGURATION.encode())))
    assert main(["import", "-", "--from", "axolotl"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["spec"]["training"]["microBatchSize"] == 3


def test_a_second_document_is_refused_instead_of_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"{CONFIGURATION}---\nlearning_rate: 1.0\n")
    assert main(["import", str(file), "--from", "axolotl"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "line 5, column 1: a second document begins" in said.err


OF_OTHERS = {
    "wizard": "provider: local\nalgorithm: lora\n",
    "framework": "fine_tuning: {method: lora}\n",
    "llamafarm": "fine_tuner: {type: pytorch}\n",
    "axolotl": CONFIGURATION,
    "engine": "model_config: {hidden_size: 8}\n",
    "llamafactory": "model_name_or_path: org/model\nstage: sft\n",
    "trl": "model_name_or_path: org/model\ndataset_name: org/data\n",
}


@pytest.mark.parametrize("program", OF_OTHERS)
def test_a_configuration_where_a_manifest_is_wanted_leads_to_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(OF_OTHERS[program])
    assert main(["validate", str(file)]) == 1
    said = capsys.readouterr().out
    assert f"It looks like a configuration of {TITLES[program]}: `finetune import` makes a job of it." in said


def test_a_manifest_where_a_configuration_is_wanted_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("kind: FineTuneJob\nspec: {}\n")
    assert main(["import", str(file)]) == 2
    assert "this is a FineTuneJob already" in capsys.readouterr().err


def test_every_program_can_be_named() -> None:
    kind = next(
        action for action in parsers_in(parser_for("import"))["import"]._actions if action.dest == "kind"
    )
    assert kind.choices is not None
    assert set(kind.choices) == set(FORMATS) == set(TITLES) == set(OF_OTHERS)


TRL = """\
model_name_or_path: org/model
dataset_name: org/data
use_peft: true
beta: 0.2
"""


def test_the_file_of_trls_config_option_is_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TRL)
    assert main(["import", str(file)]) == 0
    said = capsys.readouterr()
    spec = yaml.safe_load(said.out)["spec"]
    assert (spec["model"]["id"], spec["method"]["type"], spec["training"]["stage"]) == (
        "org/model",
        "lora",
        "sft",
    )
    assert "set dataset.format" in said.err


@pytest.mark.parametrize(
    "words", [["FILE", "--command", "dpo"], ["--from", "trl", "trl", "dpo", "--config", "FILE"]]
)
def test_the_stage_of_such_a_file_is_its_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TRL)
    assert main(["import", *(str(file) if word == "FILE" else word for word in words)]) == 0
    training = yaml.safe_load(capsys.readouterr().out)["spec"]["training"]
    assert (training["stage"], training["dpo"]["beta"]) == ("dpo", 0.2)


def test_options_of_the_command_come_before_those_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TRL)
    command = ["trl", "dpo", "--config", str(file), "--beta", "0.3"]
    assert main(["import", "--from", "trl", *command]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["spec"]["training"]["dpo"]["beta"] == 0.3
