"""What a record becomes: a conversation or a document, each knowing where it came from."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


class Origin(NamedTuple):
    """Where a record stands, for messages to people."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read, before its format was looked at."""

    origin: Origin
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """One record that cannot be used, and why."""

    origin: Origin
    problem: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}"


class BrokenRecordError(Exception):
    """Raised by a format when a record is not what it should be; the reader adds file and line."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns with at least one answer of the assistant; the loss counts the answers."""

    origin: Origin
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain text; the loss counts every token."""

    origin: Origin
    text: str


Example = Conversation | Document
