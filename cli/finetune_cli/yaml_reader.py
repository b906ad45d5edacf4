"""Read YAML as kubectl reads it, and say where each value stands.

A manifest must mean the same to both, so PyYAML's rules for scalars are replaced (`yaml_scalars`). Duplicate
keys, keys that are not text, values that JSON cannot hold and aliases that explode are refused, each with its
line and column (`yaml_checks`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import yaml

from finetune_api.validation.codes import FileCode
from finetune_cli.yaml_checks import (
    MAX_DEPTH,
    refuse_bad_keys,
    refuse_explosion,
    refuse_what_json_cannot_hold,
)
from finetune_cli.yaml_errors import Position, YamlError, position_of
from finetune_cli.yaml_scalars import NULL, add_constructors, plain_tag

__all__ = ["Position", "YamlDocument", "YamlError", "parse", "parse_scalar", "read_bytes", "read_stream"]

MAX_BYTES: Final = 8 * 1024 * 1024
"""Kubernetes refuses objects over 1.5 MiB; a file may hold several."""


@dataclass(frozen=True)
class YamlDocument:
    """One document: its value in plain Python types, and the position of each value by its dotted path."""

    value: Any
    position: Position
    positions: dict[str, Position] = field(repr=False, default_factory=dict)

    def locate(self, path: str) -> Position:
        """Return where `path` (`spec.model.id`, `spec.env[0].name`) stands, or its nearest parent."""
        while path:
            if path in self.positions:
                return self.positions[path]
            path = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]+)$", "", path)
        return self.position


def read_bytes(path: Path) -> bytes:
    """Return the file's content; raise `YamlError` where it cannot be read."""
    try:
        if path.is_dir():
            raise YamlError(FileCode.IS_DIRECTORY, "it is a directory", "Name a file in it.")
        with path.open("rb") as stream:
            return read_stream(stream)
    except FileNotFoundError:
        raise YamlError(FileCode.NOT_FOUND, "there is no such file", "Check the path.") from None
    except OSError as error:
        raise _unreadable(error) from None


def read_stream(stream: BinaryIO) -> bytes:
    """Return all of a stream; raise `YamlError` where it fails, or holds more than a manifest may."""
    try:
        content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(error) from None
    if len(content) > MAX_BYTES:
        raise YamlError(
            FileCode.TOO_LARGE,
            f"it has over {MAX_BYTES} bytes, which is what a manifest may have",
            "Keep data in a volume or on the hub, and refer to it.",
        )
    return content


def _unreadable(error: OSError) -> YamlError:
    problem = f"it can't be read: {error.strerror or error}"
    return YamlError(FileCode.UNREADABLE, problem, "Name a file that you may read.")


def parse(content: bytes) -> list[YamlDocument]:
    """Return every document of `content` that is not empty.

    Raises `YamlError` for anything that is not UTF-8 (or UTF-16 with its mark) YAML of plain values.
    """
    nodes = [node for node in _nodes(_decode(content)) if not _is_null(node)]
    if not nodes:
        raise YamlError(
            FileCode.EMPTY, "there is nothing in it", "Write at least one object.", Position(1, 1)
        )
    return [_document(node) for node in nodes]


def parse_scalar(text: str) -> Any:
    """Return the value of a command line's `--set a.b=TEXT`, typed by the same rules as in a file.

    Raises `YamlError`.
    """
    # What is no UTF-8 on the command line, Python has read as halves of characters.
    nodes = _nodes(_decode(text.encode(errors="surrogateescape")))
    if not nodes:
        return ""
    if len(nodes) > 1:
        raise YamlError(
            FileCode.SYNTAX, "there are several documents in it", "Write one value.", position_of(nodes[1])
        )
    return _document(nodes[0]).value


def _nodes(text: str) -> list[yaml.Node]:
    loader = None
    nodes = []
    try:
        loader = _KubectlLoader(text)
        while loader.check_node():
            nodes.append(loader.get_node())
    except yaml.MarkedYAMLError as error:
        raise _from_marked(error, text) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(
            FileCode.CONTROL_CHARACTER,
            f"the character U+{ord(str(error.character)):04X} may not stand in YAML",
            "Remove it, or write it as an escape in double quotes.",
            Position(line, error.position - text.rfind("\n", 0, error.position)),
        ) from None
    except (ValueError, OverflowError):
        # Python's chr() and int(), on an escape or a version number that is too large.
        position = Position(loader.line + 1, loader.column + 1) if loader else Position(1, 1)
        raise YamlError(
            FileCode.SYNTAX,
            "the number here is too large for a character or a version",
            "Write the character itself.",
            position,
        ) from None
    return [node for node in nodes if node is not None]


def _decode(content: bytes) -> str:
    if b"\0" in content[:4] and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise YamlError(
            FileCode.NOT_UTF8,
            "this looks like UTF-16 without its mark",
            "Save the file as UTF-8.",
            Position(1, 1),
        )
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise YamlError(
            FileCode.NOT_UTF8,
            f"byte 0x{content[error.start]:02x} is no {encoding.removesuffix('-sig').upper()} text",
            "Save the file as UTF-8.",
            Position(before.count(b"\n") + 1, error.start - before.rfind(b"\n")),
        ) from None


class _KubectlLoader(yaml.SafeLoader):
    """SafeLoader with the scalar rules of kubectl's parser, and an end to nesting."""

    _depth = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return plain_tag(value)
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if parent is not None and self._depth == MAX_DEPTH:
            raise YamlError(
                FileCode.TOO_DEEP,
                f"values are nested more than {MAX_DEPTH} deep",
                "Flatten the document.",
                position_of(parent),
            )
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


add_constructors(_KubectlLoader)


def _document(root: yaml.Node) -> YamlDocument:
    refuse_explosion(root)
    refuse_what_json_cannot_hold(root)
    refuse_bad_keys(root)
    loader = _KubectlLoader("")
    try:
        value = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _from_marked(error, "") from None
    finally:
        loader.dispose()
    return YamlDocument(value, position_of(root), dict(_positions(root, "")))


def _positions(node: yaml.Node, path: str) -> Iterator[tuple[str, Position]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            inner = f"{path}.{key.value}" if path else key.value
            yield inner, position_of(key)
            yield from _positions(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{path}[{index}]", position_of(value)
            yield from _positions(value, f"{path}[{index}]")


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL


def _from_marked(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    position = Position(mark.line + 1, mark.column + 1) if mark else None
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in (error.problem or ""):
        return YamlError(
            FileCode.TAB, "a tab stands where YAML wants spaces", "Indent with spaces.", position
        )
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    return YamlError(
        FileCode.SYNTAX, problem or "no YAML", "Check indentation, quotes and colons here.", position
    )
