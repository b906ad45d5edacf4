"""`finetune generate`: its arguments reach the trainer, and wrong ones don't."""

import subprocess
from typing import Any

import pytest

from finetune_cli.commands import generate
from finetune_cli.main import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that would have been started; each ends with status 15."""
    commands: list[list[str]] = []

    def run(command: list[str], **_kwargs: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(command[3:])
        return subprocess.CompletedProcess(command, 15)

    monkeypatch.setattr(generate.subprocess, "run", run)
    monkeypatch.setattr(generate, "find_spec", lambda _name: True)
    return commands


def test_arguments_reach_the_trainer_and_its_status_comes_back(started: list[list[str]]) -> None:
    words = [
        "--model",
        "a/b",
        "--adapter",
        "run/adapter",
        "--prompt=--why?",
        "--temperature",
        "0.5",
        "--plain",
    ]
    assert main(["generate", *words]) == 15
    assert started == [
        [
            "generate",
            "--model=a/b",
            "--adapter=run/adapter",
            "--prompt=--why?",
            "--plain",
            "--max-new-tokens=256",
            "--temperature=0.5",
            "--top-p=1.0",
        ]
    ]


@pytest.mark.parametrize("model", ["run/output/adapter", "./adapter", "/nowhere/adapter"])
def test_a_directory_that_is_not_there_is_not_asked_of_the_hub(
    started: list[list[str]], capsys: pytest.CaptureFixture[str], model: str
) -> None:
    assert main(["generate", "--model", model]) == 2
    assert f"--model {model}: there is no such directory" in capsys.readouterr().err
    assert started == []


def test_without_a_prompt_the_trainer_reads_standard_input(started: list[list[str]]) -> None:
    main(["generate", "--model", "a/b"])
    assert not any(word.startswith("--prompt") for word in started[0])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--model", "m", "--top-p", "0"],
        ["--model", "m", "--temperature", "-1"],
        ["--model", "m", "--temperature", "nan"],
        ["--model", "m", "--temperature", "inf"],
        ["--model", "m", "--max-new-tokens", "0"],
    ],
)
def test_wrong_use_starts_nothing(started: list[list[str]], words: list[str]) -> None:
    try:
        status: object = main(["generate", *words])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert started == []


def test_a_machine_without_torch_is_told_what_to_install(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "find_spec", lambda _name: None)
    assert main(["generate", "--model", "m"]) == 2
    assert "pip install" in capsys.readouterr().err
    assert started == []
