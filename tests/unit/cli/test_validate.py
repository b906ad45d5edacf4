"""`finetune validate`: findings with their place, exit status, and machine output that does not change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cli.main import main

GOOD = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata:
  name: {name}
spec:
  model: {{id: org/model}}
  dataset:
    format: alpaca
    train: {{hub: {{id: org/data}}}}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD.format(name="good"))
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.format(name="bad") + "  training:\n    learningRte: 2e-4\n")
    return file


def test_a_valid_job_exits_with_0(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(good)]) == 0
    assert capsys.readouterr().out.endswith(f"{good}: valid\n")


def test_an_invalid_job_exits_with_1_and_says_where(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(bad)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{bad}:11:5: error UnknownField: training.learningRte: ")
    assert "Did you mean learningRate?" in first


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["validate"])
    assert caught.value.code == 2
    assert "FILE" in capsys.readouterr().err


def test_json_is_a_list_with_one_entry_per_file(
    good: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "-o", "json", str(good), str(bad), str(bad.parent / "none.yaml")]) == 1
    entries = json.loads(capsys.readouterr().out)
    assert [list(entry) for entry in entries] == [["file", "valid", "errors", "warnings", "suggestions"]] * 3
    assert [entry["valid"] for entry in entries] == [True, False, False]
    assert entries[1]["errors"] == [
        {
            "code": "UnknownField",
            "path": "training.learningRte",
            "value": 2e-4,
            "message": "is not a field of the API",
            "remedy": "Did you mean learningRate?",
        }
    ]
    assert entries[2]["errors"][0]["code"] == "NotFound"


def test_several_jobs_in_a_file_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(GOOD.format(name="one") + "---\n" + GOOD.format(name="two") + "  suspend: maybe\n")
    assert main(["validate", str(file)]) == 1
    assert f"{file}:20:3: error WrongType: two: suspend:" in capsys.readouterr().out


def test_two_jobs_of_one_name_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(GOOD.format(name="one") + "---\n" + GOOD.format(name="one"))
    assert main(["validate", str(file)]) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith(f"{file}:14:3: error DuplicateObject: ")
    assert "the FineTuneJob 'one' is there twice" in line


def test_standard_input_is_read_for_a_dash(good: Path) -> None:
    command = [sys.executable, "-m", "finetune_cli", "validate", "-"]
    ended = subprocess.run(command, input=good.read_bytes(), capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.endswith(b"<stdin>: valid\n")


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["validate", "FILE"]])
def test_neither_torch_nor_the_kubernetes_client_is_loaded_to_start(arguments: list[str], good: Path) -> None:
    arguments = [str(good) if word == "FILE" else word for word in arguments]
    program = (
        "import sys\nfrom finetune_cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'kubernetes', 'kopf', 'transformers') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_validate_loads_and_builds_no_more_than_it_needs(good: Path) -> None:
    """What each of these costs is a fifth of the start or less, and together they were half of it."""
    program = (
        "import gc, sys\nfrom finetune_cli.main import main\n"
        f"sys.argv = ['finetune', 'validate', {str(good)!r}]\nmain()\n"
        "from finetune_api.base import ApiModel\n"
        "def below(model):\n"
        "    for child in model.__subclasses__(): yield child; yield from below(child)\n"
        "print(*sorted(name for name in sys.modules if name.startswith('finetune_api.')))\n"
        "print(*sorted({m.__name__ for m in below(ApiModel) if m.__pydantic_complete__}))\n"
        "print(gc.get_freeze_count() > 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules, built, frozen = ended.stdout.splitlines()[-3:]
    unwanted = ("status", "conditions", "resolved", "crd", "estimate", "hardware", "parameter_map")
    assert [name for name in modules.split() if name.split(".")[1] in unwanted] == []
    assert built.split() == ["Finding", "FineTuneJob"], "sections are built with the job, and not once more"
    assert frozen == "True", "nothing is searched for garbage at the end"


def test_help_needs_no_model_of_the_api() -> None:
    program = (
        "import sys\nfrom finetune_cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nprint('pydantic' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False"


def test_without_a_verb_the_help_is_printed_and_the_status_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "validate" in capsys.readouterr().err
