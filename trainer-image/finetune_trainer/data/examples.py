"""What a record becomes: a conversation or a document, each knowing where it came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


class Origin(NamedTuple):
    """Where a record stands, for messages to people."""

    file: str
    line: int
    """From 1; 0 where a record is the whole file."""
    counted: Literal["line", "row", "element"] = "line"
    """What is counted: lines of text, rows of a table, elements of a list."""

    def __str__(self) -> str:
        if not self.line:
            return self.file
        if self.counted == "element":
            return f"{self.file}[{self.line - 1}]"
        return f"{self.file}, {self.counted} {self.line}"


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


Json = dict[str, object]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    content: str
    tool_calls: tuple[Json, ...] = ()
    """Calls of the assistant, in the form that chat templates take: `{"type": "function", "function":
    {"name": …, "arguments": {…}}}`, with an `id` where the record has one."""
    name: str | None = None
    """The tool that a turn of role `tool` comes from."""
    tool_call_id: str | None = None
    reasoning: str | None = None
    """What the assistant thought before its answer, where the record has it beside the content."""

    def to_template(self) -> Json:
        """The turn as a chat template sees it."""
        turn: Json = {"role": self.role, "content": self.content}
        if self.tool_calls:
            turn["tool_calls"] = list(self.tool_calls)
        if self.name is not None:
            turn["name"] = self.name
        if self.tool_call_id is not None:
            turn["tool_call_id"] = self.tool_call_id
        if self.reasoning is not None:
            # most templates' name for it, and that of gpt-oss
            turn["reasoning_content"] = turn["thinking"] = self.reasoning
        return turn


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns with at least one answer of the assistant; the loss counts the answers."""

    origin: Origin
    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()
    """Tools that the assistant may call, as JSON schemas of functions."""
    prompt_turns: int = 0
    """Turns at the start that are given: answers among them are not counted by the loss."""
    desired: bool | None = None
    """Whether the last answer is one to learn, where the record says so."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain text; the loss counts every token."""

    origin: Origin
    text: str


@dataclass(frozen=True, slots=True)
class Preference:
    """Two ways to go on from the same turns, of which the first is preferred."""

    origin: Origin
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Json, ...] = ()
    """Tools that the assistant may call, in both."""


def last_answer(conversation: Conversation) -> int:
    """The place of the assistant's last turn."""
    return max(place for place, turn in enumerate(conversation.messages) if turn.role == "assistant")


def sides(preference: Preference) -> tuple[Conversation, Conversation]:
    """The preferred and the other conversation; only what follows the prompt is an answer."""
    prompt = preference.prompt
    chosen, rejected = (
        Conversation(preference.origin, (*prompt, *answer), preference.tools, prompt_turns=len(prompt))
        for answer in (preference.chosen, preference.rejected)
    )
    return chosen, rejected


Example = Conversation | Document | Preference


def turns(example: Conversation | Preference) -> tuple[Message, ...]:
    """All turns of an example; of a preference the prompt's, then those of both answers."""
    if isinstance(example, Conversation):
        return example.messages
    return (*example.prompt, *example.chosen, *example.rejected)


def texts(examples: Iterable[Example]) -> list[str]:
    """All text of the examples, for training a tokenizer."""
    found: list[str] = []
    for example in examples:
        if isinstance(example, Document):
            found.append(example.text)
        else:
            found += [message.content for message in turns(example)]
    return found
