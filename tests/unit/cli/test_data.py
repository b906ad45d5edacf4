"""`finetune data check` and `preview`: the trainer's own check, started for a manifest."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.main import main

RECORDS = [{"instruction": f"add {number} and 1", "output": str(number + 1)} for number in range(10)]


def manifest(tmp_path: Path, records: list[dict[str, Any]] = RECORDS, **spec: Any) -> Path:
    """A job that makes its model and tokenizer from scratch: a check needs the latter only."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    file = tmp_path / "job.yaml"
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "small"},
        "spec": {
            "model": {"config": {}, "tokenizer": {"train": {"vocabSize": 300}}},
            "method": {"type": "full"},
            "dataset": {"format": "alpaca", "train": {"path": str(tmp_path / "train.jsonl")}},
            **spec,
        },
    }
    file.write_text(yaml.safe_dump(job))
    return file


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that would be started."""
    commands: list[list[str]] = []

    def start(command: list[str], *, check: bool) -> "subprocess.CompletedProcess[bytes]":
        assert not check
        assert json.loads(Path(command[5]).read_text())["job"]["name"] == "small"
        commands.append(command)
        return subprocess.CompletedProcess(command, 11)

    monkeypatch.setattr(subprocess, "run", start)
    return commands


def test_the_trainer_is_started_and_its_exit_status_returned(
    tmp_path: Path, started: list[list[str]]
) -> None:
    arguments = ["data", "check", str(manifest(tmp_path)), "-o", "html", "--out", "report.html"]
    assert main(arguments) == 11
    [command] = started
    assert command[:5] == [sys.executable, "-m", "finetune_trainer", "check-data", "--job"]
    assert command[6:] == ["--format", "html", "--samples", "3", "--out", "report.html"]


def test_a_preview_is_a_check_that_shows_samples_only(tmp_path: Path, started: list[list[str]]) -> None:
    assert main(["data", "preview", str(manifest(tmp_path)), "-n", "7"]) == 11
    assert started[0][6:] == ["--format", "samples", "--samples", "7"]


@pytest.mark.parametrize("verb", ["check", "preview"])
def test_data_itself_is_answered_with_the_way_to_a_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    manifest(tmp_path)
    assert main(["data", verb, str(tmp_path / "train.jsonl")]) == 2
    assert f"finetune init --model ID --dataset {tmp_path}/train.jsonl" in capsys.readouterr().err


def test_a_job_that_is_not_valid_is_not_checked(
    tmp_path: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = manifest(tmp_path, training={"learningRate": -1})
    assert main(["data", "check", str(file)]) == 10
    said = capsys.readouterr().err
    assert "training.learningRate" in said
    assert said.splitlines()[-1] == "finetune data: nothing is started: fix the errors first"
    assert not started


def test_a_look_makes_no_directory_for_the_claim_that_a_run_would_write_to(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", str(manifest(tmp_path))]) == 11
    assert {path.name for path in tmp_path.iterdir()} == {"job.yaml", "train.jsonl"}


@pytest.mark.slow
def test_a_manifest_is_checked_from_end_to_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(manifest(tmp_path)), "-o", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["train"]["records"], report["train"]["ended"]) == (10, 10)
    assert main(["data", "preview", str(manifest(tmp_path)), "-n", "1"]) == 0
    assert "»1<|endoftext|>«" in capfd.readouterr().out
    broken = manifest(tmp_path, [*RECORDS, {"instruction": "?"}])
    assert main(["data", "check", str(broken)]) == 11
    assert "broken: train.jsonl, line 11: 'output' is missing" in capfd.readouterr().out


@pytest.mark.parametrize("action", ["check", "preview"])
def test_a_field_can_be_set_for_a_look(action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Any] = []

    def start(command: list[str], *, check: bool) -> "subprocess.CompletedProcess[bytes]":
        looked_at.append(json.loads(Path(command[5]).read_text())["spec"]["training"]["maxSequenceLength"])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    assert main(["data", action, str(manifest(tmp_path)), "--set", "training.maxSequenceLength=77"]) == 0
    assert looked_at == [77]


def test_what_is_set_has_its_type_checked(
    tmp_path: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(manifest(tmp_path)), "--set", "training.maxSequenceLength=long"]) == 10
    assert "training.maxSequenceLength: long must be a whole number" in capsys.readouterr().err
    assert started == []
