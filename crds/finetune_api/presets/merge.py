"""Merge a preset's values under the spec of a job as it is written."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

PRESET_ANNOTATION: Final = "finetune.dev/preset"
"""Annotation of a job whose spec has been filled in; its value is the preset's name."""

_SOURCES: Final = ("path", "pvc", "configMap", "hub", "http", "s3", "upload")

ALTERNATIVES: Final[tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]] = (
    ("model", (("id", "revision"), ("path",), ("config",))),
    ("model.tokenizer", (("id", "revision"), ("path",), ("train",))),
    ("model.tokenizer", (("chatTemplate",), ("chatTemplateName",))),
    ("dataset.train", tuple((source,) for source in _SOURCES)),
    ("dataset.eval", tuple((source,) for source in _SOURCES)),
    ("training", (("epochs",), ("maxSteps",))),
    ("training.schedule", (("warmupRatio",), ("warmupSteps",))),
    ("method.lora", (("targetModules",), ("targetPattern",))),
)
"""Fields that stand for one another. A job that sets one of them drops the preset's other ones."""

Origin = Literal["manifest", "preset"]


@dataclass(frozen=True)
class Resolution:
    """A spec with a preset's values in it, and where each of its leaves (`training.epochs`) came from."""

    spec: dict[str, Any]
    origins: Mapping[str, Origin]


def resolve(values: Mapping[str, Any], raw_spec: Mapping[str, Any]) -> Resolution:
    """Return `raw_spec` over the preset's `values`. Mappings are merged, everything else is replaced.

    `raw_spec` is the spec as it is written: without defaults, and null is the same as absent. Its field
    `preset` is left out, since it has done its work.
    """
    written = {key: value for key, value in raw_spec.items() if key != "preset"}
    spec = _merged(_without_alternatives(values, written), written)
    named = dict(leaves(written))
    return Resolution(spec, {path: "manifest" if path in named else "preset" for path, _ in leaves(spec)})


def leaves(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is no mapping (or an empty one) with its dotted path; nulls are left out."""
    for key, value in spec.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        elif value is not None:
            yield path, value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = deepcopy(dict(below))
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            result[key] = _merged(under, value)
        elif value is not None:
            result[key] = deepcopy(value)
    return result


def _without_alternatives(values: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preset's values without those that a field of the job takes the place of."""
    result = deepcopy(dict(values))
    for section, groups in ALTERNATIVES:
        ours, theirs = _section(result, section), _section(written, section)
        if not isinstance(ours, dict) or not isinstance(theirs, Mapping):
            continue
        chosen = [group for group in groups if any(theirs.get(field) is not None for field in group)]
        for group in groups if chosen else ():
            if group not in chosen:
                for field in group:
                    ours.pop(field, None)
    return result


def _section(spec: Mapping[str, Any], path: str) -> Any:
    section: Any = spec
    for part in path.split("."):
        section = section.get(part) if isinstance(section, Mapping) else None
    return section
