"""Which value an unquoted scalar has, by the rules of kubectl's parser.

That parser is yaml.v2 of Go (`resolve.go`): a YAML 1.1 where `2e-4` and `0o17` are numbers, `y` and `off` are
booleans, and `2024-01-01` and `12:30` are text. PyYAML differs in each of these.
"""

import math
import re
from typing import Any, Final

import yaml

from finetune_api.validation.codes import FileCode
from finetune_cli.yaml_errors import YamlError, position_of

PREFIX: Final = "tag:yaml.org,2002:"
STR, INT, FLOAT, BOOL, NULL, MERGE = (
    f"{PREFIX}{name}" for name in ("str", "int", "float", "bool", "null", "merge")
)

Plain = str | int | float | bool | None

_TAGS: Final = {str: STR, int: INT, float: FLOAT, bool: BOOL, type(None): NULL}
_WANTED: Final = {
    INT: "an integer, as in 5",
    FLOAT: "a number, as in 0.5",
    BOOL: "true or false",
    NULL: "null",
}


def _spellings(*words: str) -> list[str]:
    return [spelling for word in words for spelling in (word, word.capitalize(), word.upper())]


_WORDS: Final[dict[str, Plain]] = (
    dict.fromkeys(_spellings("y", "yes", "true", "on"), True)
    | dict.fromkeys(_spellings("n", "no", "false", "off"), False)
    | dict.fromkeys(("", "~", *_spellings("null")))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
    | {f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
)
_INTEGER: Final = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([0-9a-fA-F]+))")
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def plain_value(text: str) -> Plain:
    """Return what an unquoted scalar means; numbers may be infinite or no number."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    number = text.replace("_", "")
    if _DECIMAL.fullmatch(number):
        return int(number)
    if found := _INTEGER.fullmatch(number):
        sign, binary, octal, hexadecimal = found.groups()
        digits, base = next(
            (digits, base) for digits, base in ((binary, 2), (octal, 8), (hexadecimal, 16)) if digits
        )
        value = int(f"{sign}{digits}", base)
        if -(2**63) <= value < 2**64:
            return value
    return float(number) if _FLOAT.fullmatch(number) else text


def plain_tag(text: str) -> str:
    """Return the tag of an unquoted scalar; `<<` is the key that merges."""
    return MERGE if text == "<<" else _TAGS[type(plain_value(text))]


def construct_plain(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Plain:
    """Return the value of a node with the tag of a number, a boolean or null.

    Raises `YamlError` where its text is none (`!!bool foo`), or a number that JSON cannot hold.
    """
    text = loader.construct_scalar(node)
    value = plain_value(text)
    tag = _TAGS[type(value)]
    if tag != node.tag and (tag, node.tag) != (INT, FLOAT):
        raise YamlError(
            FileCode.INVALID_VALUE,
            f"{text} is no {node.tag.removeprefix(PREFIX)}, which its tag says",
            f"Write {_WANTED[node.tag]}, or remove the tag.",
            position_of(node),
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise YamlError(
            FileCode.NOT_FINITE,
            f"{text if len(text) <= 100 else text[:100] + '…'} is no finite number, "
            "and JSON has no way to write it",
            "Write a finite number, or remove the field.",
            position_of(node),
        )
    return value


def add_constructors(loader: Any) -> None:
    """Make a loader class read plain scalars by these rules."""
    for tag in (INT, FLOAT, BOOL, NULL):
        loader.add_constructor(tag, construct_plain)
    # Where it is no key, `<<` is text.
    loader.add_constructor(MERGE, yaml.SafeLoader.construct_yaml_str)
