"""What is wrong with a YAML file, and where."""

from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Position:
    """A place in a file; both numbers start at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(eq=False)
class YamlError(Exception):
    """Text that is no usable YAML. `code` is a `FileCode`, or a `Code` of the
    validator; `problem` says what is wrong, `remedy` the way out."""

    code: str
    problem: str
    remedy: str
    position: Position | None = None
    path: str = ""
    """Field that it is about, where it is about one."""

    def __str__(self) -> str:
        where = f"{self.position}: " if self.position else ""
        return f"{where}{self.problem}"

    def about(self, file: str) -> str:
        """Everything that is to be said of the file: what, where, and the way out."""
        return f"{file}: {self}. {self.remedy}"


def position_of(node: yaml.Node) -> Position:
    """Return where a node starts."""
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
