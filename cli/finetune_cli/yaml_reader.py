"""Read YAML as kubectl reads it, and say where each value stands.

PyYAML follows YAML 1.1, kubectl's parser does not in a few places: there `2e-4` is a number, and
`2024-01-01` and `12:30` are text. A manifest must mean the same to both, so those rules are replaced here.
Duplicate keys, keys that are not text, numbers that JSON cannot hold and aliases that explode are refused,
each with its line and column.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

MAX_BYTES: Final = 8 * 1024 * 1024
"""Kubernetes refuses objects over 1.5 MiB; a file may hold several."""

MAX_VALUES: Final = 200_000
"""Values per document once every alias is expanded."""

MAX_DEPTH: Final = 100
"""Lists and mappings within one another; Python reads some hundred, and a manifest needs a dozen."""


@dataclass(frozen=True)
class Position:
    """A place in a file; both numbers start at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(eq=False)
class YamlError(Exception):
    """Text that is no usable YAML. `code` is stable, `problem` says what is wrong, `remedy` the way out."""

    code: str
    problem: str
    remedy: str
    position: Position | None = None
    path: str = ""
    """Field that it is about, where it is about one."""

    def __str__(self) -> str:
        where = f"{self.position}: " if self.position else ""
        return f"{where}{self.problem}"


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
            raise YamlError("IsDirectory", f"{path} is a directory", "Name a file in it.")
        if path.stat().st_size > MAX_BYTES:
            raise YamlError(
                "TooLarge",
                f"{path} has {path.stat().st_size} bytes; a manifest may have {MAX_BYTES}",
                "Keep data in a volume or on the hub, and refer to it.",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise YamlError("NotFound", f"{path} does not exist", "Check the path.") from None
    except OSError as error:
        raise YamlError(
            "Unreadable", f"{path} cannot be read: {error.strerror}", "Check its permissions."
        ) from None


def parse(content: bytes) -> list[YamlDocument]:
    """Return every document of `content` that is not empty.

    Raises `YamlError` for anything that is not UTF-8 (or UTF-16 with its mark) YAML of plain values.
    """
    text = _decode(content)
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_KubectlLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise _from_marked(error, text) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(
            "ControlCharacter",
            f"the character U+{ord(str(error.character)):04X} may not stand in YAML",
            "Remove it, or write it as an escape in double quotes.",
            Position(line, error.position - text.rfind("\n", 0, error.position)),
        ) from None
    documents = [_document(node) for node in nodes if not _is_null(node)]
    if not documents:
        raise YamlError("Empty", "there is nothing in it", "Write at least one object.", Position(1, 1))
    return documents


def parse_scalar(text: str) -> Any:
    """Return the value of a command line's `--set a.b=TEXT`, typed by the same rules as in a file.

    Raises `YamlError`.
    """
    if not text.strip():
        return ""
    documents = parse(text.encode())
    return documents[0].value


def _decode(content: bytes) -> str:
    if b"\0" in content[:4] and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise YamlError(
            "NotUtf8", "this looks like UTF-16 without its mark", "Save the file as UTF-8.", Position(1, 1)
        )
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise YamlError(
            "NotUtf8",
            f"byte 0x{content[error.start]:02x} is no {encoding.removesuffix('-sig').upper()} text",
            "Save the file as UTF-8.",
            Position(before.count(b"\n") + 1, error.start - before.rfind(b"\n")),
        ) from None


class _KubectlLoader(yaml.SafeLoader):
    """SafeLoader with the scalar rules of kubectl's parser, and an end to nesting."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if parent is not None and self._depth == MAX_DEPTH:
            raise YamlError(
                "TooDeep",
                f"values are nested more than {MAX_DEPTH} deep",
                "Flatten the document.",
                _position(parent),
            )
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_REPLACED_TAGS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int"}
_KubectlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _REPLACED_TAGS]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_KubectlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_KubectlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise YamlError(
            "NotFinite",
            f"{node.value} is no finite number, and JSON has no way to write it",
            "Write a finite number, or remove the field.",
            _position(node),
        )
    return value


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    if re.fullmatch(r"[-+]?0[0-7]+", text):
        return int(text, 8)
    if len(text) > 100:
        raise YamlError(
            "NotFinite", "a number of over 100 digits", "Write a smaller number.", _position(node)
        )
    return int(text, 0)


_KubectlLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_KubectlLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _document(root: yaml.Node) -> YamlDocument:
    _refuse_explosion(root)
    _refuse_bad_keys(root)
    loader = _KubectlLoader("")
    try:
        value = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _from_marked(error, "") from None
    except (ValueError, TypeError) as error:
        raise YamlError("InvalidValue", str(error), "Write a plain value.", _position(root)) from None
    finally:
        loader.dispose()
    return YamlDocument(value, _position(root), dict(_positions(root, "")))


def _refuse_explosion(root: yaml.Node) -> None:
    """Count values with aliases expanded; a node that contains itself never ends."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        key = id(node)
        if key in open_nodes:
            raise YamlError(
                "RecursiveAlias", "an alias contains itself", "Write the values out.", _position(node)
            )
        if key not in sizes:
            open_nodes.add(key)
            sizes[key] = 1 + sum(size(child) for child in _children(node))
            open_nodes.discard(key)
        if sizes[key] > MAX_VALUES:
            raise YamlError(
                "AliasExplosion",
                f"aliases expand to over {MAX_VALUES} values",
                "Write the values out, or use fewer aliases.",
                _position(node),
            )
        return sizes[key]

    size(root)


def _refuse_bad_keys(root: yaml.Node) -> None:
    for node in _unique_nodes(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        first_seen: dict[str, Position] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise YamlError(
                    "KeyNotText", f"the key {shown} is not text", "Put the key in quotes.", _position(key)
                )
            if key.value in first_seen:
                raise YamlError(
                    "DuplicateKey",
                    f"the key {key.value!r} is there twice; it first stands at {first_seen[key.value]}",
                    "Keep one of the two.",
                    _position(key),
                )
            first_seen[key.value] = _position(key)


def _unique_nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting.extend(_children(node))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return []


def _positions(node: yaml.Node, path: str) -> Iterator[tuple[str, Position]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            inner = f"{path}.{key.value}" if path else key.value
            yield inner, _position(key)
            yield from _positions(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{path}[{index}]", _position(value)
            yield from _positions(value, f"{path}[{index}]")


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _from_marked(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    position = Position(mark.line + 1, mark.column + 1) if mark else None
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in (error.problem or ""):
        return YamlError("Tab", "a tab stands where YAML wants spaces", "Indent with spaces.", position)
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    return YamlError("Syntax", problem or "no YAML", "Check indentation, quotes and colons here.", position)
