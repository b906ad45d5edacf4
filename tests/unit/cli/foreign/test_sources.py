"""Where a configuration is read from: one document, of a file or of standard input."""

import io
import sys
from pathlib import Path

import pytest
import yaml

from finetune_cli.main import main

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
