"""`finetune validate` on FineTunePresets, alone and beside the jobs that name them."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.main import main

PRESET = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTunePreset
metadata: {name: ours}
spec:
  title: Ours
  values:
    training: {VALUES}
"""


def validated(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: str) -> dict[str, Any]:
    file = tmp_path / "preset.yaml"
    file.write_text(PRESET.replace("VALUES", values))
    status = main(["validate", str(file), "-o", "json"])
    [report] = json.loads(capsys.readouterr().out)
    assert status == (0 if report["valid"] else 1)
    found: dict[str, Any] = report
    return found


def test_a_good_preset_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validated(tmp_path, capsys, "epochs: 1")["valid"]


def test_a_wrong_value_is_refused_with_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [error] = validated(tmp_path, capsys, "epochs: many")["errors"]
    assert (error["code"], error["path"]) == ("WrongType", "values.training.epochs")


def test_it_is_shown_where_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(PRESET.replace("VALUES", "epoch: 1"))
    assert main(["validate", str(file)]) == 1
    assert f"{file}:7:16: error UnknownField: values.training.epoch" in capsys.readouterr().out
