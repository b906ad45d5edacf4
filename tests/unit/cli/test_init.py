"""`finetune init` writes a manifest that validates, and overwrites nothing."""

import io
from pathlib import Path

import pytest

from finetune_cli.main import main
from finetune_cli.yaml_reader import parse

FLAGS = ["--name", "mine", "--model", "org/model", "--dataset"]


def written(file: Path) -> dict[str, object]:
    spec = parse(file.read_bytes())[0].value["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.parametrize(
    ("dataset", "train"),
    [
        ("org/data", {"hub": {"id": "org/data"}}),
        ("/data/a.jsonl", {"path": "/data/a.jsonl"}),
        ("pvc:claim/dir/a.jsonl", {"pvc": {"claimName": "claim", "path": "dir/a.jsonl"}}),
        ("configmap:map/a.jsonl", {"configMap": {"name": "map", "key": "a.jsonl"}}),
    ],
)
def test_the_flags_make_a_valid_commented_job(tmp_path: Path, dataset: str, train: object) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *FLAGS, dataset]) == 0
    assert written(file)["dataset"] == {"format": "alpaca", "train": train}
    assert "# Model id on the Hugging Face hub" in file.read_text()
    assert main(["validate", str(file)]) == 0


def test_the_commented_lines_are_yaml_too(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *FLAGS, "org/data"]) == 0
    head, _, tail = file.read_text().partition("the default.\n")
    file.write_text(
        head + "\n" + "\n".join(line.replace("  # ", "  ", 1) for line in tail.splitlines()) + "\n"
    )
    assert written(file)["training"] == {
        "epochs": 3.0,
        "learningRate": 0.0002,
        "microBatchSize": 1,
        "maxSequenceLength": 2048,
    }


def test_the_commented_lines_belong_to_the_sections_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert (
        main(["init", str(file), *FLAGS, "org/data", "--model", "Qwen/Qwen3-8B", "--accelerator", "l4"]) == 0
    )
    text = file.read_text()
    assert text.count("  training:") == text.count("microBatchSize:") == 1
    file.write_text(text.replace("  #   epochs: 3.0", "    epochs: 1.0"))
    training = written(file)["training"]
    assert isinstance(training, dict)
    assert (training["epochs"], training["precision"]) == (1.0, "bf16")


def test_a_preset_is_named_and_its_format_left_to_it(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *FLAGS, "org/data", "--preset", "chat"]) == 0
    assert written(file)["preset"] == "chat"
    assert "format" not in written(file)["dataset"]  # type: ignore[operator]


def test_a_file_that_is_there_is_overwritten_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("mine")
    assert main(["init", str(file), *FLAGS, "org/data"]) == 2
    assert file.read_text() == "mine"
    assert main(["init", str(file), *FLAGS, "org/data", "--force"]) == 0


def test_what_a_preset_gives_is_shown_instead_of_the_default(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *FLAGS, "org/data", "--preset", "chat"]) == 0
    assert "shows the preset's value, or the default.\n" in file.read_text()
    assert "  #   maxSequenceLength: 4096\n" in file.read_text()


@pytest.mark.parametrize(
    ("dataset", "format_"),
    [
        ("/data/a.csv", "csv"),
        ("configmap:map/a.tsv", "csv"),
        ("/data/a.json", "alpaca"),
    ],
)
def test_the_format_is_told_by_the_name_of_a_file(tmp_path: Path, dataset: str, format_: str) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *FLAGS, dataset]) == 0
    assert written(file)["dataset"]["format"] == format_  # type: ignore[index]
    assert main(["init", str(file), *FLAGS, dataset, "--format", "messages", "--force"]) == 0
    assert written(file)["dataset"]["format"] == "messages"  # type: ignore[index]


@pytest.mark.parametrize(
    "given", [["--dataset", "train.jsonl"], ["--dataset", "./train"], ["--model", "./model"]]
)
def test_a_relative_path_is_no_name_of_the_hub(
    tmp_path: Path, given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", *FLAGS, "org/data", *given]) == 2
    whole = tmp_path / given[1]
    assert f"{given[0]} {given[1]}: write the whole path, such as {whole}\n" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_nobody_knows_in_numbers_needs_no_accelerator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", "-", *FLAGS, "org/data", "--accelerator", "l4"]) == 2
    assert "Without --accelerator, nothing has to be known of it.\n" in capsys.readouterr().err
    assert main(["init", "-", *FLAGS, "org/data"]) == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--model", "org/model"], 2),
        ([*FLAGS, "pvc:claim"], 2),
        ([*FLAGS, "org/data", "--model", "\udcff"], 2),
        ([*FLAGS, "org/data", "--preset", "chatt"], 2),
        ([*FLAGS, "org/data", "--format", "alpacca"], 1),
    ],
)
def test_what_would_be_no_valid_job_is_not_written(tmp_path: Path, arguments: list[str], status: int) -> None:
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), *arguments]) == status
    assert not file.exists()


def test_text_that_yaml_would_take_for_something_else_is_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "-", "--model", "1e5", "--dataset", "on", "--name", "a"]) == 0
    spec = parse(capsys.readouterr().out.encode())[0].value["spec"]
    assert spec["model"]["id"] == "1e5"
    assert spec["dataset"]["train"]["hub"]["id"] == "on"


class Terminal(io.StringIO):
    """Standard input at a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_asks_for_what_the_flags_leave_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("org/model\n\n\n"))
    file = tmp_path / "job.yaml"
    assert main(["init", str(file), "--name", "mine"]) == 0
    assert written(file)["model"] == {"id": "org/model"}
    assert written(file)["dataset"] == {"format": "alpaca", "train": {"hub": {"id": "org/data"}}}
    assert "Model: id on the Hugging Face hub, or /path" in capsys.readouterr().err


def test_for_an_accelerator_it_writes_what_suits_it(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    flags = ["--name", "mine", "--model", "meta-llama/Llama-3.1-8B", "--dataset", "org/data"]
    assert main(["init", str(file), *flags, "--accelerator", "l4"]) == 0
    spec = written(file)
    assert spec["resources"] == {"accelerators": {"perNode": 1, "type": "l4"}}
    training = spec["training"]
    assert isinstance(training, dict)
    assert training["precision"] == "bf16"
    assert training["microBatchSize"] * training["gradientAccumulationSteps"] == 16
    assert "of 22.5 GiB per device" in file.read_text()
    assert main(["estimate", str(file)]) == 0


def test_an_old_accelerator_gets_its_own_arithmetic(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    flags = ["--name", "mine", "--model", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "--dataset", "org/data"]
    assert main(["init", str(file), *flags, "--accelerator", "t4"]) == 0
    assert written(file)["training"]["precision"] == "fp16"  # type: ignore[index]
    assert main(["estimate", str(file)]) == 0


def test_where_nothing_fits_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    flags = ["--name", "mine", "--model", "meta-llama/Llama-3.1-405B", "--dataset", "org/data"]
    assert main(["init", str(file), *flags, "--accelerator", "t4"]) == 2
    assert "nothing that was tried fits" in capsys.readouterr().err
    assert not file.exists()
