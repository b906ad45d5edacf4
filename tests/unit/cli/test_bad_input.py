"""Whatever a file holds, `finetune validate` answers with a finding and its place, never a traceback."""

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from finetune_api.validation.codes import Code, FileCode
from finetune_cli.main import main
from finetune_cli.yaml_reader import MAX_BYTES

GOOD = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  model: {id: org/model}
  dataset: {train: {path: /data}}
  training:
    VALUE
"""
BILLION = "\n".join(
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]",
        *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)),
    ]
)


def job(line: str) -> str:
    return GOOD.replace("VALUE", line)


BAD = [
    (job("epochs: 1").replace("  model", "\tmodel"), "Tab", (5, 1)),
    (job("epochs: 1\n    epochs: 2"), "DuplicateKey", (9, 5)),
    (BILLION, "AliasExplosion", (6, 5)),
    ("[" * 5000, "TooDeep", (1, 100)),
    (job("learningRate: .nan"), "NotFinite", (8, 19)),
    (job("learningRate: -.inf"), "NotFinite", (8, 19)),
    (job("learningRate: 1e999"), "NotFinite", (8, 19)),
    (job("learningRate: '2e-4'"), "WrongType", (8, 5)),
    (job("learningRate: -1"), "OutOfRange", (8, 5)),
    (job("maxSteps: 99999999999999999999"), "OutOfRange", (8, 5)),
    (job("learningRte: 1"), "UnknownField", (8, 5)),
    (job("epochs: 1").encode("utf-16-le"), "NotUtf8", (1, 1)),
    (job("epochs: 1 # é").encode("latin-1"), "NotUtf8", (8, 17)),
    (b"", "Empty", (1, 1)),
    (b"\x00\x01\x02", "NotUtf8", (1, 1)),
    ("kind: Pod\napiVersion: v1\n", "NoFineTuneJob", (1, 1)),
    (job("epochs: 1").replace("FineTuneJob", "FinetuneJob"), "WrongKind", (2, 1)),
    ("}", "Syntax", (1, 1)),
    (job("resumable: !!bool foo"), "InvalidValue", (8, 16)),
    (job("learningRate: !!float abc"), "InvalidValue", (8, 19)),
    (job("epochs: !!int 1.5"), "InvalidValue", (8, 13)),
    (job("epochs: 1\n  preset: !!timestamp foo"), "Syntax", (9, 11)),
    (job("epochs: 1\n  preset: !!set {a}"), "Syntax", (9, 11)),
    (job("epochs: 1\n  preset: !!binary aGk="), "Syntax", (9, 11)),
    (job('epochs: 1\n  preset: "\\ud800"'), "ControlCharacter", (9, 11)),
    (job('epochs: 1\n  "\\ud800": 1'), "ControlCharacter", (9, 3)),
    (job('epochs: 1\n  preset: "\\U00110000"'), "Syntax", (9, 14)),
    (job('epochs: 1\n  preset: "\\UFFFFFFFF"'), "Syntax", (9, 14)),
    (job("epochs: 0o"), "WrongType", (8, 5)),
    ("apiVersion: v1\nkind: List\nitems: []\n", "EmptyList", (3, 1)),
    (
        "[" + "\n".join(["&a0 [],", *(f"&a{n} [*a{n - 1}]," for n in range(1, 600))]) + "]",
        "TooDeep",
        (101, 1),
    ),
]
"""A file, the code of the finding about it, and its line and column."""


@pytest.mark.parametrize(("content", "code", "place"), BAD)
def test_each_kind_of_bad_file_gives_one_finding_with_its_place(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes,
    code: str,
    place: tuple[int, int],
) -> None:
    file = written(tmp_path, content)
    assert main(["validate", str(file)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if " error " in line]
    assert len(lines) == 1
    assert f": error {code}: " in lines[0]
    assert lines[0].startswith(f"{file}:{place[0]}:{place[1]}:")


def test_every_code_of_a_bad_file_is_in_the_reference() -> None:
    known = {*Code, *FileCode}
    assert {code for _, code, _ in BAD} <= known


def written(directory: Path, content: str | bytes) -> Path:
    file = directory / "job.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


VERBS = {
    "explain": ("explain", "training.epochs", "FILE"),
    "compare": ("compare", "FILE", "FILE"),
    "estimate": ("estimate", "FILE"),
    "export": ("export", "--to", "axolotl", "FILE"),
    "run": ("run", "FILE"),
    "data": ("data", "check", "FILE"),
    "submit": ("submit", "--dry-run=client", "FILE"),
    "import": ("import", "--from", "llamafactory", "FILE"),
}
ABOUT_THE_JOB = {"WrongType", "OutOfRange", "UnknownField", "NoFineTuneJob", "WrongKind", "EmptyList"}
"""What is a mistake only in a job: another program's file is imported, key by key."""

CASES = [
    (verb, content, code, place)
    for verb in VERBS
    for content, code, place in BAD
    if verb != "import" or code not in ABOUT_THE_JOB
]


@pytest.mark.parametrize(("verb", "content", "code", "place"), CASES)
def test_every_other_verb_names_file_line_and_column_too(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    content: str | bytes,
    code: str,
    place: tuple[int, int],
) -> None:
    file = written(tmp_path, content)
    status = main([str(file) if word == "FILE" else word for word in VERBS[verb]])
    said = capsys.readouterr().err
    assert status not in (0, None)
    assert str(file) in said
    line, column = place
    assert f"line {line}, column {column}" in said or f"{file}:{line}:{column}:" in said


@pytest.mark.parametrize(
    "words",
    [
        ("validate", "FILE"),
        ("validate", "NO\x1b[31mFILE"),
        ("explain", "model.id", "FILE"),
        ("explain", "model.\x1b[31m"),
        ("compare", "FILE", "--set", "model.id=a/b"),
        ("export", "--to", "llamafactory", "FILE"),
        ("import", "--from", "framework", "FILE"),
        ("estimate", "FILE"),
        ("run", "FILE"),
    ],
)
@pytest.mark.parametrize("line", ["epochs: 1", '"a\\e[31m": 1', 'optimizer: "\\x9b31m"'])
def test_nothing_in_a_file_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    file = written(tmp_path, job(line).replace("org/model", '"org/\\e[31mmodel"'))
    main([str(file) if word == "FILE" else word for word in words])
    said = capsys.readouterr()
    assert [char for char in said.out + said.err if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_text_with_a_mark_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(job("epochs: 1 # é").encode(encoding))
    assert main(["validate", str(file)]) == 0


@pytest.mark.parametrize(("name", "code"), [("", "IsDirectory"), ("none.yaml", "NotFound")])
def test_a_directory_and_a_missing_file_are_findings_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: str
) -> None:
    assert main(["validate", "-o", "json", str(tmp_path / name)]) == 1
    assert [found["code"] for found in json.loads(capsys.readouterr().out)[0]["errors"]] == [code]


def test_standard_input_may_be_as_long_as_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"#" * (MAX_BYTES + 1))))
    assert main(["validate", "-"]) == 1
    assert "<stdin>: error TooLarge: " in capsys.readouterr().out


@pytest.mark.parametrize("stdin", [None, "directory"])
def test_standard_input_that_cannot_be_read_is_a_finding_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdin: str | None
) -> None:
    class Directory(BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr("sys.stdin", None if stdin is None else TextIOWrapper(Directory()))
    assert main(["validate", "-"]) == 1
    assert "<stdin>: error Unreadable: " in capsys.readouterr().out


def test_a_finding_about_a_field_says_its_place_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, job("epochs: 1\n  preset: none"))
    assert main(["validate", str(file)]) == 1
    assert f"{file}:9:3: error UnknownPreset: preset: none is not the name" in capsys.readouterr().out


def test_2e_minus_4_is_a_number_as_for_kubectl(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(job("learningRate: 2e-4"))
    assert main(["validate", str(file)]) == 0


def test_what_is_wrong_with_a_preset_is_said_in_our_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "apiVersion: finetune.dev/v1alpha1\nkind: FineTunePreset\nmetadata: {name: p}\n"
    file = written(tmp_path, head + "spec: 5\n")
    assert main(["validate", str(file)]) == 1
    assert ":4:1: error InvalidPreset: spec must be a mapping" in capsys.readouterr().out


def test_other_kinds_beside_a_job_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n" + job("epochs: 1"))
    assert main(["validate", str(file)]) == 0
