"""oasst: message trees of OpenAssistant, as flat messages (`message_id`, `parent_id`, `role`, `text`) or as
trees (`prompt` with nested `replies`).

Each thread from the root of a tree to a leaf is a conversation; turns of the user that nobody answered are
left off its end. Where replies of the assistant have a `rank`, only the best one is followed. Deleted
messages are left out with all that follows them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from finetune_api.dataset import ColumnsSpec
from finetune_trainer.data.examples import (
    BrokenRecord,
    BrokenRecordError,
    Conversation,
    Json,
    Message,
    Origin,
    Record,
    Role,
)
from finetune_trainer.data.formats.base import Format, Records, json_type
from finetune_trainer.data.reading import RECORD_SUFFIXES, read_records

ROLES: Final[dict[str, Role]] = {"prompter": "user", "assistant": "assistant", "system": "system"}
THREAD: Final = "\0thread"
"""The key under which a thread travels from `gather` to `parse`; no column is called so."""


@dataclass
class Node:
    """One message of a tree and its replies."""

    origin: Origin
    fields: Json
    replies: list["Node"] = field(default_factory=list)

    @property
    def is_deleted(self) -> bool:
        return self.fields.get("deleted") is True

    @property
    def rank(self) -> int | None:
        rank = self.fields.get("rank")
        return int(rank) if isinstance(rank, int | float) and math.isfinite(rank) else None


def gather(records: Records) -> Records:
    """Threads, each as one record that comes from its first message; broken messages as they are.

    A message whose parent is not there is broken, and so is one that no root leads to.
    """
    roots: list[Node] = []
    by_id: dict[str, Node] = {}
    orphans: list[tuple[str, Node]] = []
    for record in records:
        if isinstance(record, BrokenRecord):
            yield record
        elif isinstance(record.fields.get("prompt"), dict):
            roots.append(_tree(record.fields["prompt"], record.origin))
        else:
            problem = _place(Node(record.origin, record.fields), by_id, roots, orphans)
            if problem is not None:
                yield BrokenRecord(record.origin, problem)
    for parent, node in orphans:
        if parent in by_id:
            by_id[parent].replies.append(node)
        else:
            yield BrokenRecord(node.origin, f"its 'parent_id' {parent!r} is no message of this data")
    reached = {id(node) for root in roots for node in _nodes(root)}
    for node in by_id.values():
        if id(node) not in reached and node.fields.get("parent_id") in by_id:
            yield BrokenRecord(
                node.origin, "its parents lead to no root: they are not all there, or go round in a circle"
            )
    for root in roots:
        for thread in _threads(root):
            yield Record(root.origin, {THREAD: thread})


def parse(record: Record, _columns: ColumnsSpec) -> Conversation:
    """The conversation of a thread. Raises `BrokenRecordError`, which names the message by its id."""
    thread = record.fields[THREAD]
    if not isinstance(thread, list):
        raise TypeError("gather yields threads")
    return Conversation(record.origin, tuple(_message(node.fields) for node in thread))


def _place(
    node: Node, by_id: dict[str, Node], roots: list[Node], orphans: list[tuple[str, Node]]
) -> str | None:
    """Puts a flat message where it belongs; returns what is wrong with it, if anything is."""
    identity, parent = node.fields.get("message_id"), node.fields.get("parent_id")
    if not isinstance(identity, str):
        return "has no 'message_id' (flat messages) and no 'prompt' with 'replies' (trees)"
    if identity in by_id:
        return f"its 'message_id' {identity!r} is that of an earlier message"
    by_id[identity] = node
    if not parent:
        roots.append(node)
    else:
        orphans.append((str(parent), node))
    return None


def _tree(value: object, origin: Origin) -> Node:
    root = Node(origin, value if isinstance(value, dict) else {})
    waiting = [root]
    while waiting:
        node = waiting.pop()
        replies = node.fields.get("replies")
        for reply in replies if isinstance(replies, list) else []:
            node.replies.append(Node(origin, reply if isinstance(reply, dict) else {}))
        waiting += node.replies
    return root


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.replies
        yield node


def _threads(root: Node) -> Iterator[list[Node]]:
    """Threads that end in an answer, each once, in the order of the data."""
    waiting: list[list[Node]] = [[root]]
    seen: set[int] = set()
    while waiting:
        thread = waiting.pop()
        if thread[-1].is_deleted:
            replies: list[Node] = []
            thread = thread[:-1]
        else:
            replies = _followed(thread[-1].replies)
        if replies:
            waiting += [[*thread, reply] for reply in reversed(replies)]
            continue
        while thread and thread[-1].fields.get("role") == "prompter":
            thread = thread[:-1]
        if thread and id(thread[-1]) not in seen:
            seen.add(id(thread[-1]))
            yield thread


def _followed(replies: list[Node]) -> list[Node]:
    kept = [reply for reply in replies if not reply.is_deleted]
    ranked = [reply for reply in kept if reply.rank is not None and reply.fields.get("role") == "assistant"]
    return [min(ranked, key=lambda reply: reply.rank or 0)] if ranked else kept


def _message(fields: Json) -> Message:
    name = fields.get("message_id", "a message")
    role, text = fields.get("role"), fields.get("text")
    known = ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise BrokenRecordError(f"{name}: 'role' is {role!r}; it must be one of {', '.join(ROLES)}")
    if not isinstance(text, str):
        raise BrokenRecordError(f"{name}: 'text' must be text, not {json_type(text)}")
    if known == "assistant" and not text.strip():
        raise BrokenRecordError(f"{name}: 'text' is empty; an answer must hold text")
    return Message(known, text)


FORMAT = Format(name="oasst", read=read_records, parse=parse, suffixes=RECORD_SUFFIXES, gather=gather)
