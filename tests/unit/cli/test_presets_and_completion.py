"""`finetune presets` prints what can be applied, `finetune completion` what a shell can run."""

import json
import shutil
import subprocess

import pytest

from finetune_api.presets import Preset, builtin_preset
from finetune_api.presets.builtin import builtin_names
from finetune_cli.commands.completion import main_for_kubectl
from finetune_cli.main import VERBS, main
from finetune_cli.yaml_reader import parse


def test_every_preset_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == builtin_names()


def test_presets_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "list", "-o", "json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == builtin_names()


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_a_preset_is_shown_as_an_object_that_can_be_applied(
    capsys: pytest.CaptureFixture[str], output: str
) -> None:
    assert main(["presets", "show", "chat", "-o", output]) == 0
    assert Preset.from_manifest(parse(capsys.readouterr().out.encode())[0].value) == builtin_preset("chat")


def test_a_preset_is_shown_by_its_name_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "chat"]) == 0
    alone = capsys.readouterr().out
    assert main(["presets", "show", "chat"]) == 0
    assert capsys.readouterr().out == alone


@pytest.mark.parametrize("words", [["show"], ["show", "chat", "instruct"]])
def test_presets_are_shown_one_at_a_time(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", *words]) == 2
    assert "finetune presets show NAME" in capsys.readouterr().err


def test_an_unknown_preset_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "show", "chatt"]) == 2
    assert "did you mean chat?" in capsys.readouterr().err


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def completed(text: str, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    line = " ".join(f"'{word}'" for word in words)
    program = f'{text}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _finetune; echo "${{COMPREPLY[@]}}"'
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_bash_completes_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    text = script(capsys, "bash")
    assert completed(text, "finetune", "") == {*VERBS, "--help"}
    assert completed(text, "finetune", "validate", "--o") == {"--output"}
    assert completed(text, "finetune", "completion", "z") == {"zsh"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_know_every_verb(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    text = script(capsys, shell)
    assert all(f"{verb}" in text for verb in VERBS)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ((), {*VERBS, "--help"}),
        (("su",), {"submit", "suspend"}),
        (("validate", "--o"), {"--output"}),
        (("completion", "z"), {"zsh"}),
        (("nothing", ""), set()),
    ],
)
def test_kubectl_is_told_what_may_follow(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], offered: set[str]
) -> None:
    assert main_for_kubectl(words) == 0
    *found, directive = capsys.readouterr().out.splitlines()
    assert set(found) == offered
    assert directive == ":0"
