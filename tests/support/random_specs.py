"""Random JSON values from a structural schema, and around its edges, fast enough for tens of thousands.

Hypothesis (schema_values.py) shrinks what it finds, and takes a hundred times longer.
"""

from __future__ import annotations

import random
import re
from typing import Any

from finetune_api.base import AUTO, AUTO_PATTERN

Json = Any
Schema = dict[str, Any]

TEXTS = (
    *("a", "x1", "a/b", "organisation/model", "main", "train[:100]", "q_proj", ".*mlp.*", "8Gi", "500m", "0"),
    *("nvidia.com/gpu", "https://example.org/d", "s3://bucket/key", "/data/train.jsonl", "data/x", "NAME"),
    *("0" * 64, "2026-01-01T00:00:00Z", "loss", "eval_loss", "é", "a b", "Ω" * 300, "-", "..", "../../etc"),
)
ODDITIES: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1, 3.0, 0.5, 1e308, -1e308, 2**31, 2**63, 2**70),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "2e-4", "true", "null", "\x00", "../..", "(", "[", "ü" * 5000),
    *([], {}, [None], [[[]]], {"a": {"a": None}}, {"": 1}, {1: 2}, [1, "a", None], ()),
)


class SpecMaker:
    """Draws values; the same seed draws the same values."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fitting: dict[tuple[str | None, int, int], list[str]] = {}

    def value(self, schema: Schema) -> Json:
        """A value that the schema allows (CEL rules aside)."""
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        if schema.get("pattern") == AUTO_PATTERN:
            return self._random.choice([AUTO, self._number(schema, whole=True)])
        if schema.get("x-kubernetes-int-or-string"):
            return self._random.choice([0, 1, 64, "0", "500m", "1.5Gi", "8Gi"])
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            return {"zero_optimization": {"stage": self._random.randint(0, 3)}, "x": [1, {"y": "z"}]}
        match schema["type"]:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "boolean":
                return self._random.random() < 0.5
            case kind:
                return self._number(schema, whole=kind == "integer")

    def spoiled(self, value: Json) -> Json:
        """The value, changed, with something odd in one to three of its places."""
        for _ in range(self._random.randint(1, 3)):
            value = self._spoil(value)
        return value

    def _spoil(self, value: Json) -> Json:
        if not isinstance(value, dict | list) or not value or self._random.random() < 0.02:
            return self._random.choice(ODDITIES)
        if isinstance(value, list):
            index = self._random.randrange(len(value))
            return [*value[:index], self._spoil(value[index]), *value[index + 1 :]]
        key = self._random.choice(list(value))
        match self._random.randrange(12):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return value | {self._random.choice(["unknown", "learning_rate", "Id", "", "ü"]): value[key]}
            case _:
                return value | {key: self._spoil(value[key])}

    def _object(self, schema: Schema) -> Json:
        if "additionalProperties" in schema:
            names = self._random.sample(["a", "b.c/d", "gpu"], self._random.randint(0, 2))
            return {name: self.value(schema["additionalProperties"]) for name in names}
        required = schema.get("required", [])
        return {
            name: self.value(child)
            for name, child in schema.get("properties", {}).items()
            if name in required or self._random.random() < 0.4
        }

    def _array(self, schema: Schema) -> Json:
        low = schema.get("minItems", 0)
        high = min(schema.get("maxItems", 3), max(low, 3))
        items = [self.value(schema["items"]) for _ in range(self._random.randint(low, high))]
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys is None:
            return items
        return list({tuple(item[key] for key in keys): item for item in items}.values())

    def _string(self, schema: Schema) -> str:
        limits = (schema.get("pattern"), schema.get("minLength", 0), schema.get("maxLength", 10_000))
        if limits not in self._fitting:
            pattern, low, high = limits
            self._fitting[limits] = [
                text
                for text in (*TEXTS, "b" * low, *(["a" * high] if high <= 1024 else []))
                if low <= len(text) <= high and (pattern is None or re.search(pattern, text, re.ASCII))
            ]
        return self._random.choice(self._fitting[limits])

    def _number(self, schema: Schema, *, whole: bool) -> float:
        low, high = schema.get("minimum", -(10**9)), schema.get("maximum", 10**9)
        edges = [
            edge
            for edge, excluded in ((low, "exclusiveMinimum"), (high, "exclusiveMaximum"))
            if not schema.get(excluded)
        ]
        if edges and self._random.random() < 0.3:
            return self._random.choice(edges)
        if whole:
            return self._random.randint(low, min(high, low + 64))
        return low + (high - low) * (0.001 + 0.998 * self._random.random())
