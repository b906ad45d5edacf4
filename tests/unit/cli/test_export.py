"""`finetune export -o` writes files that LLaMA-Factory can read from where the command ran, or nothing."""

import json
import os
from pathlib import Path

import pytest
import yaml

from finetune_cli.main import main

JOB = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: pairs}
spec:
  model: {id: org/base}
  dataset:
    format: alpaca
    train: {hub: {id: org/data}}
    eval: {path: data/held-out.jsonl}
"""


def job_in(directory: Path) -> Path:
    job = directory / "job.yaml"
    job.write_text(JOB)
    return job


def test_relative_files_are_where_llama_factory_looks_for_them_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/held-out.jsonl").write_text("{}")
    job = job_in(tmp_path)
    assert main(["export", str(job), "--to", "llamafactory", "-o", "out/config.yaml"]) == 0

    directory = Path(yaml.safe_load(Path("out/config.yaml").read_text())["dataset_dir"])
    info = json.loads((directory / "dataset_info.json").read_text())
    held_out = directory / info["pairs-eval"]["file_name"]
    assert held_out.samefile("data/held-out.jsonl"), "from where it runs, over dataset_dir"

    assert main(["import", "-o", "again.yaml", "out/config.yaml"]) == 0
    spec = yaml.safe_load(Path("again.yaml").read_text())["spec"]
    assert spec["dataset"]["eval"] == {"path": "./data/held-out.jsonl"}


def test_a_directory_that_is_not_there_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    job = job_in(tmp_path)
    assert main(["export", str(job), "--to", "llamafactory", "-o", "nodir/config.yaml"]) == 2
    told = capsys.readouterr().err
    assert "nodir/config.yaml: can't be written: No such file or directory" in told
    assert "mkdir -p nodir" in told
    assert [file.name for file in tmp_path.iterdir()] == ["job.yaml"]


def test_a_configuration_that_can_t_be_written_leaves_dataset_info_as_it_was(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    (tmp_path / "config.yaml").mkdir()
    target = str(tmp_path / "config.yaml")
    assert main(["export", str(job), "--to", "llamafactory", "--force", "-o", target]) == 2
    assert not (tmp_path / "dataset_info.json").exists()


def test_a_stream_has_no_dataset_info_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    job = job_in(tmp_path)
    assert main(["export", str(job), "--to", "llamafactory", "--force", "-o", str(pipe)]) == 0
    assert yaml.safe_load(os.read(reader, 1 << 16))["dataset_dir"] == "."
    os.close(reader)
    assert '"hf_hub_url": "org/data"' in capsys.readouterr().err
    assert not (tmp_path / "dataset_info.json").exists()


def test_another_data_set_of_that_name_leaves_no_configuration(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    (tmp_path / "dataset_info.json").write_text('{"pairs": {"hf_hub_url": "org/other"}}')
    assert main(["export", str(job), "--to", "llamafactory", "-o", str(tmp_path / "config.yaml")]) == 2
    assert not (tmp_path / "config.yaml").exists()


def test_what_auto_becomes_on_the_named_device_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ("model.id=meta-llama/Llama-3.1-8B", "resources.accelerators={type: t4, perNode: 1}")
    autos = ("training.microBatchSize=auto", "quantization.type=auto", "distributed.zeroStage=auto")
    sets = [word for text in named + autos for word in ("--set", text)]
    assert main(["export", str(job_in(tmp_path)), "--to", "axolotl", *sets]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert (config["micro_batch_size"], config["gradient_accumulation_steps"]) == (1, 16)
    assert (config["adapter"], config["load_in_4bit"]) == ("qlora", True)
