"""`finetune` alone: the version, and words that are no verbs."""

import pytest

from finetune_cli.main import _OTHER_WORDS, VERBS, main, parser_for, parsers_in


def test_the_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    printed = capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("validat", "Did you mean `finetune validate`?"),
        ("train", "Did you mean `finetune run`?"),
        ("xyzzy", "`finetune --help` lists them."),
    ],
)
def test_a_word_that_is_no_verb_is_answered_with_what_was_meant(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == 2
    assert capsys.readouterr().err == f"finetune: there is no command {word}. {hint}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_no_wider_than_80_columns(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = parsers_in(parser_for(verb))[verb].format_help().splitlines()
    unbroken = "--from {"  # argparse breaks a line only between options
    assert [line for line in lines if len(line) > 80 and unbroken not in line] == []


@pytest.mark.parametrize("words", [["hardware", "h100"], ["estimate", "job.yaml", "--gpus", "4"]])
def test_an_argument_too_many_is_answered_with_the_usage_of_the_verb(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"usage: finetune {words[0]} ")
    assert f"finetune {words[0]}: error: unrecognized arguments: " in said


def test_what_other_programs_call_a_verb_is_no_verb_here() -> None:
    assert set(_OTHER_WORDS.values()) <= set(VERBS)
    assert not set(_OTHER_WORDS) & set(VERBS)
