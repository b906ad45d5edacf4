"""What the author of a job wrote, told from what the API server filled in.

The API server puts the schema's defaults into a job before anybody else sees it. A preset may fill what its
author left open, and nothing else, so the two have to be told apart again. Three things tell:

- `metadata.managedFields`: a server-side apply owns the fields that its author wrote, and no default;
- the annotation in which `kubectl apply` keeps the manifest as it was written;
- the value: what is not the schema's default was written by somebody.

What none of them claims is open. So a default that is spelled out counts as written under either kind of
apply; after a plain create, where nothing tells, it does not.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from finetune_api.job import FineTuneJobSpec
from finetune_api.validation.fields import default_of, field_named, nested_model, plain

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

_Tree = dict[str, Any]
"""Names of fields, each with the tree below it; an empty one for a value."""


def written_spec(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a stored job's spec that its author wrote; of one that was never stored, all of it."""
    spec = manifest.get("spec")
    return _written(spec, FineTuneJobSpec, _claims(manifest)) if isinstance(spec, Mapping) else {}


def tells_what_was_written(manifest: Mapping[str, Any]) -> bool:
    """Whether a stored job tells a default that its author wrote from one that was filled in."""
    return any(True for _ in _claimed_trees(manifest))


def _written(live: Mapping[str, Any], model: type[BaseModel], claims: _Tree) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in live.items():
        field = field_named(model, name)
        claimed = claims.get(name)
        section = nested_model(field.annotation) if field is not None else None
        if section is not None and isinstance(value, Mapping):
            inner = _written(value, section, claimed or {})
            # Nobody but the author brings in a section that is absent by default.
            if inner or claimed is not None or _default(field) is None:
                result[name] = inner
        elif claimed is not None or field is None or value != _default(field):
            result[name] = value
    return result


def _default(field: FieldInfo | None) -> Any:
    """A field's default as JSON; None for a field without one."""
    if field is None or field.is_required():
        return None
    return plain(default_of(field))


def _claims(manifest: Mapping[str, Any]) -> _Tree:
    claims: _Tree = {}
    for tree in _claimed_trees(manifest):
        _merge(claims, tree)
    return claims


def _claimed_trees(manifest: Mapping[str, Any]) -> Iterator[_Tree]:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        return
    for entry in metadata.get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:spec")
        if entry.get("operation") == "Apply" and not entry.get("subresource") and fields is not None:
            yield _owned(fields)
    text = (metadata.get("annotations") or {}).get(LAST_APPLIED)
    if isinstance(text, str):
        applied = _parsed(text).get("spec")
        if isinstance(applied, Mapping):
            yield _names(applied)


def _owned(fields: Mapping[str, Any]) -> _Tree:
    """The names in one set of managed fields (`f:training: {f:epochs: {}}`)."""
    prefix = "f:"
    return {
        key.removeprefix(prefix): _owned(below) for key, below in fields.items() if key.startswith(prefix)
    }


def _names(spec: Mapping[str, Any]) -> _Tree:
    return {
        str(key): _names(value) if isinstance(value, Mapping) else {}
        for key, value in spec.items()
        if value is not None
    }


def _merge(into: _Tree, tree: _Tree) -> None:
    for name, below in tree.items():
        _merge(into.setdefault(name, {}), below)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        manifest = json.loads(text)
    except ValueError:
        return {}
    return manifest if isinstance(manifest, Mapping) else {}
