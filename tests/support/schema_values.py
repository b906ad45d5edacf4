"""Hypothesis strategies for JSON values that a structural schema allows, and for some that it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from finetune_api.base import AUTO, AUTO_PATTERN

Json = Any
MAX_ITEMS = 3

_SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "2e-4", "../..", "\x00", "ü"])
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    """Values that the schema allows (CEL rules and uniqueness of keys apart from list-map keys aside)."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("pattern") == AUTO_PATTERN:
        return st.just(AUTO) | st.integers(schema["minimum"], schema["maximum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(0, 64) | st.sampled_from(["0", "500m", "1.5Gi", "8Gi", "2", "64Ki", "1T"])
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return st.dictionaries(
            st.sampled_from(["zero_optimization", "train_batch_size", "optimizer", "x"]), _ANYTHING
        )
    return _BY_TYPE[schema["type"]](schema)


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    if "additionalProperties" in schema:
        key = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
        return st.dictionaries(key, values(schema["additionalProperties"]), max_size=MAX_ITEMS)
    required = set(schema.get("required", []))
    fields = {name: values(child) for name, child in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


def _array(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    low = schema.get("minItems", 0)
    high = max(low, min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS))
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is None:
        return st.lists(values(schema["items"]), min_size=low, max_size=high)
    return st.lists(
        values(schema["items"]),
        min_size=low,
        max_size=high,
        unique_by=lambda item: tuple(item[key] for key in keys),
    )


def _string(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", 64)
    if schema.get("format") == "date-time":
        seconds = st.integers(0, 7_000_000_000)
        return seconds.map(lambda second: datetime.fromtimestamp(second, UTC).isoformat())
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii")).filter(
            lambda text: low <= len(text) <= high
        )
    letters = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))
    return st.text(letters, min_size=low, max_size=min(high, max(low, 24)))


def _number(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    low, high = schema.get("minimum", -1e9), schema.get("maximum", 1e9)
    return st.floats(
        low,
        high,
        exclude_min=schema.get("exclusiveMinimum", False),
        exclude_max=schema.get("exclusiveMaximum", False),
        allow_nan=False,
        allow_subnormal=False,
    )


def _integer(schema: dict[str, Any]) -> st.SearchStrategy[Json]:
    low, high = schema.get("minimum", -(10**9)), schema.get("maximum", 10**9)
    return st.integers(low, high) | st.sampled_from([low, high])


_BY_TYPE: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Json]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": lambda _schema: st.booleans(),
}


@st.composite
def spoiled(draw: st.DrawFn, allowed: st.SearchStrategy[Json]) -> Json:
    """An allowed value with something odd put in one place of it."""
    value = draw(allowed)
    node = value
    while isinstance(node, dict | list) and node:
        key = (
            draw(st.sampled_from(sorted(node)))
            if isinstance(node, dict)
            else draw(st.integers(0, len(node) - 1))
        )
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            if isinstance(node, dict) and draw(st.booleans()):
                node[draw(st.sampled_from(["unknown", "learning_rate", "id", ""]))] = draw(_ANYTHING)
            else:
                node[key] = draw(
                    _ANYTHING | st.sampled_from([-1, 0, 1e308, float("nan"), float("inf"), 2**63])
                )
            return value
        node = inner
    return draw(_ANYTHING)
