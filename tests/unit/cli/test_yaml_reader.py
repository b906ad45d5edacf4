"""YAML means the same to us as to kubectl, and what is wrong is said with its line and column."""

from io import BytesIO
from pathlib import Path

import pytest

from finetune_cli.yaml_reader import (
    MAX_BYTES,
    Position,
    YamlError,
    parse,
    parse_scalar,
    read_bytes,
    read_stream,
)


def refusal(text: str | bytes) -> YamlError:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(YamlError) as caught:
        parse(content)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1.5e+3", 1500.0),
        ("3", 3),
        ("0644", 0o644),
        ("0x1f", 31),
        ("true", True),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("8Gi", "8Gi"),
        ("'3'", "3"),
        ("[1, a]", [1, "a"]),
        ("", ""),
        *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "TRUE")),
        *((word, False) for word in ("n", "N", "no", "No", "NO", "off", "Off", "OFF", "False")),
        *((word, None) for word in ("~", "null", "Null", "NULL", "!!null ''")),
        *((word, word) for word in ("yEs", "nULL", ".nAn", ".", "..5", "+", "_1", "<<", "=")),
        *((word, word) for word in ("0o", "0x", "0x_", "0b", "0b12", "0x1p-2", "0x1ffffffffffffffff")),
        ("0o17", 15),
        ("-017", -15),
        ("0b_1", 1),
        ("0B1", 1),
        ("0X1F", 31),
        ("-0x1F", -31),
        ("1_000", 1000),
        ("1_0.5", 10.5),
        ("08", 8.0),
        ("5.", 5.0),
        ("+.5", 0.5),
        ("18446744073709551615", 18446744073709551615),
        ("!!bool y", True),
        ("!!float 1", 1),
        ("!!int '5'", 5),
        ("!!str y", "y"),
    ],
)
def test_scalars_are_typed_as_kubectl_types_them(text: str, value: object) -> None:
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("spec:\n\tmodel: x\n", "Tab", Position(2, 1)),
        ("a: 1\nb: 2\na: 3\n", "DuplicateKey", Position(3, 1)),
        ("spec:\n  x: .nan\n", "NotFinite", Position(2, 6)),
        ("spec:\n  x: -.inf\n", "NotFinite", Position(2, 6)),
        ("a: 1\n2: b\n", "KeyNotText", Position(2, 1)),
        ("a: [1, 2\nb: 3\n", "Syntax", Position(2, 2)),
        ("a: !!python/object:os.system x\n", "Syntax", Position(1, 4)),
        ("a: b: c\n", "Syntax", Position(1, 5)),
        ("a: \x07\n", "ControlCharacter", Position(1, 4)),
        ("", "Empty", Position(1, 1)),
        ("# only a comment\n---\n", "Empty", Position(1, 1)),
        ("a: &a [*a]\n", "RecursiveAlias", Position(1, 4)),
        ("a: *nowhere\n", "Syntax", Position(1, 4)),
        (b"a: 1\nb: \xff\xfa\n", "NotUtf8", Position(2, 4)),
    ],
)
def test_bad_text_gives_one_finding_with_its_place(text: str | bytes, code: str, position: Position) -> None:
    error = refusal(text)
    assert (error.code, error.position) == (code, position)
    assert error.remedy


def test_aliases_that_explode_are_refused_before_they_are_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert refusal("\n".join(lines)).code == "AliasExplosion"


def test_deep_nesting_is_refused_without_a_traceback() -> None:
    assert refusal("[" * 2_000).code == "TooDeep"


def test_a_stream_is_read_as_far_as_a_file_may_be_long() -> None:
    assert read_stream(BytesIO(b"a: 1")) == b"a: 1"
    with pytest.raises(YamlError) as caught:
        read_stream(BytesIO(b" " * (MAX_BYTES + 1)))
    assert caught.value.code == "TooLarge"


def test_documents_in_utf16_with_their_mark_are_read() -> None:
    assert parse("a: é\n".encode("utf-16"))[0].value == {"a": "é"}


def test_several_documents_are_told_apart_and_empty_ones_skipped() -> None:
    documents = parse(b"---\na: 1\n---\n---\nb: 2\n")
    assert [document.value for document in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].position == Position(5, 1)


def test_a_path_is_located_or_its_nearest_parent_is() -> None:
    document = parse(b"spec:\n  model: {id: x}\n  env:\n  - name: A\n")[0]
    assert document.locate("spec.model.id") == Position(2, 11)
    assert document.locate("spec.env[0].name") == Position(4, 5)
    assert document.locate("spec.env[7].name") == Position(3, 3)
    assert document.locate("spec.method.type") == Position(1, 1)
    assert document.locate("metadata") == Position(1, 1)


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path) -> None:
    for path, code in ((tmp_path, "IsDirectory"), (tmp_path / "none.yaml", "NotFound")):
        with pytest.raises(YamlError) as caught:
            read_bytes(path)
        assert caught.value.code == code
        assert caught.value.about(str(path)).startswith(f"{path}: ")
