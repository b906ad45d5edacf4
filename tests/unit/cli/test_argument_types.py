"""Types of arguments: what kubectl users type, and what would reach another object."""

from argparse import ArgumentTypeError

import pytest

from finetune_cli.argument_types import count, duration, job_name
from finetune_cli.main import main


@pytest.mark.parametrize(
    "word", ["tune", "finetunejob.finetune.dev/tune", "finetunejob/tune", "finetunejobs/tune", "ftj/tune"]
)
def test_a_job_is_named_as_it_is_or_as_o_name_prints_it(word: str) -> None:
    assert job_name(word) == "tune"


@pytest.mark.parametrize(
    "word", ["", "a/../b", "../../pods/x", "pod/x", "a?watch=true", "a,b=c", "Tune", "a b"]
)
def test_what_is_no_name_never_reaches_the_api_server(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["delete", word])
    assert ended.value.code == 2
    assert "argument NAME" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["list", "-n", word])


@pytest.mark.parametrize(
    ("word", "seconds"), [("90", 90), ("0", 0), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h30m", 5400)]
)
def test_a_time_is_seconds_or_as_kubectl_writes_it(word: str, seconds: float) -> None:
    assert duration(word) == seconds


@pytest.mark.parametrize("word", ["", "-5", "nan", "inf", "soon", "5 m", "m", "9" * 400])
def test_what_is_no_time_is_refused(word: str) -> None:
    with pytest.raises(ArgumentTypeError, match="90s, 5m or 1h30m"):
        duration(word)


@pytest.mark.parametrize(
    "words", [["--tail", "-1"], ["--tail", "many"], ["--attempt", "0"], ["--attempt", "²"]]
)
def test_lines_and_attempts_are_counted_from_one(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["logs", "tune", *words])
    assert ended.value.code == 2


@pytest.mark.parametrize(("word", "number"), [("1", 1), ("1000", 1000), ("1_000", 1000)])
def test_a_count_is_a_whole_number(word: str, number: int) -> None:
    assert count(word) == number


@pytest.mark.parametrize(
    "words",
    [
        ["estimate", "job.yaml", "--tokens", "0"],
        ["estimate", "job.yaml", "--records", "9" * 400],
        ["estimate", "job.yaml", "--records", "9" * 5000],
        ["generate", "--model", "m", "--max-new-tokens", "-1"],
        ["data", "preview", "job.yaml", "-n", "0"],
    ],
)
def test_every_verb_refuses_what_is_no_count(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "write a whole number from 1" in capsys.readouterr().err
