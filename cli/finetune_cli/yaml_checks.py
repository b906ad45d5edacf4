"""What a document may not hold, though it is well-formed YAML: checked on its nodes, before it has values."""

import re
from collections.abc import Iterator
from typing import Final

import yaml

from finetune_api.validation.codes import FileCode
from finetune_cli.yaml_errors import Position, YamlError, position_of
from finetune_cli.yaml_scalars import BOOL, FLOAT, INT, MERGE, NULL, PREFIX, STR

MAX_VALUES: Final = 200_000
"""Values per document once every alias is expanded."""

MAX_DEPTH: Final = 100
"""Lists and mappings within one another; Python reads some hundred, and a manifest needs a dozen."""

_TAGS: Final[dict[type[yaml.Node], frozenset[str]]] = {
    yaml.ScalarNode: frozenset({STR, INT, FLOAT, BOOL, NULL, MERGE}),
    yaml.SequenceNode: frozenset({f"{PREFIX}seq"}),
    yaml.MappingNode: frozenset({f"{PREFIX}map"}),
}
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


def refuse_explosion(root: yaml.Node) -> None:
    """Count values and depth with aliases expanded; a node that contains itself never ends.

    Raises `YamlError`.
    """
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        key = id(node)
        if key in open_nodes:
            raise YamlError(
                FileCode.RECURSIVE_ALIAS,
                "an alias contains itself",
                "Write the values out.",
                position_of(node),
            )
        if key not in sizes:
            open_nodes.add(key)
            children = _children(node)
            sizes[key] = 1 + sum(size(child) for child in children)
            depths[key] = 1 + max((depths.get(id(child), 1) for child in children), default=0)
            open_nodes.discard(key)
        if depths[key] > MAX_DEPTH:
            raise YamlError(
                FileCode.TOO_DEEP,
                f"values are nested more than {MAX_DEPTH} deep once aliases are expanded",
                "Flatten the document.",
                position_of(node),
            )
        if sizes[key] > MAX_VALUES:
            raise YamlError(
                FileCode.ALIAS_EXPLOSION,
                f"aliases expand to over {MAX_VALUES} values",
                "Write the values out, or use fewer aliases.",
                position_of(node),
            )
        return sizes[key]

    size(root)


def refuse_bad_keys(root: yaml.Node) -> None:
    """Raise `YamlError` for a key that is no text, or that a mapping has twice."""
    for node in _unique_nodes(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        first_seen: dict[str, Position] = {}
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            if key.tag != STR:
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise YamlError(
                    FileCode.KEY_NOT_TEXT,
                    f"the key {shown} is not text",
                    "Put the key in quotes.",
                    position_of(key),
                )
            if key.value in first_seen:
                raise YamlError(
                    FileCode.DUPLICATE_KEY,
                    f"the key {key.value!r} is there twice; it first stands at {first_seen[key.value]}",
                    "Keep one of the two.",
                    position_of(key),
                )
            first_seen[key.value] = position_of(key)


def refuse_what_json_cannot_hold(root: yaml.Node) -> None:
    """Raise `YamlError` for a tag without a value in JSON (`!!set`), and for half a character."""
    for node in _unique_nodes(root):
        if node.tag not in _TAGS[type(node)]:
            raise YamlError(
                FileCode.SYNTAX,
                f"the tag {node.tag.replace(PREFIX, '!!')} has no value in JSON here",
                "Remove the tag, and write a plain value.",
                position_of(node),
            )
        half = _HALF_CHARACTER.search(node.value) if isinstance(node, yaml.ScalarNode) else None
        if half:
            raise YamlError(
                FileCode.CONTROL_CHARACTER,
                f"U+{ord(half[0]):04X} is half of a character, and no text may hold it",
                'Write the character itself, or as "\\U0001F600" with eight digits.',
                position_of(node),
            )


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
