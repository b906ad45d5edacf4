"""CustomResourceDefinitions from the models: `python -m finetune_api.crd` prints them.

Kubernetes wants *structural* schemas: no references, a type everywhere, no null in unions, exclusive bounds
as in draft 4. Pydantic's JSON schema is brought into that form here; descriptions, defaults, bounds and CEL
rules come from the models.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Final

import yaml
from pydantic import BaseModel

from finetune_api.base import GROUP, VERSION
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.preset import FineTunePreset
from finetune_api.status import FineTuneJobStatus

Schema = dict[str, Any]

_DROPPED: Final = {"title", "$defs", "additionalProperties", "const"}

_COPIED: Final = {
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "default",
}


_BOUNDS: Final[Mapping[str, Callable[[float], Schema]]] = {
    "ge": lambda bound: {"minimum": bound},
    "le": lambda bound: {"maximum": bound},
    "gt": lambda bound: {"minimum": bound, "exclusiveMinimum": True},
    "lt": lambda bound: {"maximum": bound, "exclusiveMaximum": True},
    "exclusiveMinimum": lambda bound: {"minimum": bound, "exclusiveMinimum": True},
    "exclusiveMaximum": lambda bound: {"maximum": bound, "exclusiveMaximum": True},
}
"""Bounds as pydantic writes them; a validator in front of the type keeps its own names for them."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural OpenAPI v3 schema of a model.

    Raises `ValueError` for something in the model that no structural schema can say.
    """
    json_schema = model.model_json_schema(by_alias=True)
    return _structural(json_schema, json_schema.get("$defs", {}), model.__name__)


def fields_below(prefix: str, schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """Each field at any depth: its path (`env[].name` in a list), its schema, and whether it is required."""
    for name, child in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        yield path, child, name in schema.get("required", [])
        yield from fields_below(path, child)
        if child.get("type") == "array":
            yield from fields_below(f"{path}[]", child["items"])


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Schema:
    node = _without_reference(_without_null(node), definitions)
    result: Schema = {}
    for key, value in node.items():
        if key in _COPIED or key.startswith("x-kubernetes-"):
            result[key] = value
        elif key == "const":
            result["enum"] = [value]
        elif key in _BOUNDS:
            result |= _BOUNDS[key](value)
        elif key == "properties":
            result["properties"] = {
                name: _structural(child, definitions, f"{where}.{name}") for name, child in value.items()
            }
        elif key == "items":
            result["items"] = _structural(value, definitions, f"{where}[]")
        elif key == "additionalProperties" and isinstance(value, Mapping):
            result["additionalProperties"] = _structural(value, definitions, f"{where}[*]")
        elif key == "anyOf" and node.get("x-kubernetes-int-or-string"):
            result["anyOf"] = value
        elif key not in _DROPPED and key != "propertyNames":
            raise ValueError(f"{where}: a structural schema has no {key}")
    if result.get("default") is None or (result["default"] in ([], {}) and "properties" not in result):
        result.pop("default", None)
    if result.get("type") == "object" and "x-kubernetes-preserve-unknown-fields" in result:
        result.pop("additionalProperties", None)
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    return result


def _without_null(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """`X | None` as X: for the API server, a null in an optional field is the same as no field."""
    choices = node.get("anyOf")
    if choices is None or node.get("x-kubernetes-int-or-string"):
        return node
    others = [choice for choice in choices if choice != {"type": "null"}]
    if len(others) != 1:
        return node
    return {**others[0], **{key: value for key, value in node.items() if key != "anyOf"}}


def _without_reference(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    target = definitions[reference.removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _without(schema: Schema, dropped: Set[str]) -> Schema:
    """The same schema without these keywords, at every depth."""
    result = {key: value for key, value in schema.items() if key not in dropped}
    if "properties" in result:
        result["properties"] = {
            name: _without(child, dropped) for name, child in result["properties"].items()
        }
    if "items" in result:
        keys = result.get("x-kubernetes-list-map-keys", [])
        result["items"] = _without(result["items"], dropped)
        if keys:
            result["items"]["required"] = keys
    return result


def _partial(schema: Schema) -> Schema:
    """The schema of a part of an object: nothing required or filled in, no rule over several fields."""
    return _without(schema, {"default", "required", "x-kubernetes-validations"})


def _completed_by_presets(spec: Schema) -> Schema:
    """The schema of a job's spec in which a preset may give what is required; CEL asks all others for it."""
    properties = dict(spec["properties"])
    dataset = properties["dataset"]
    needed = [name for name in dataset["required"] if name != "train"]
    properties["dataset"] = {**dataset, "required": needed, "default": {}}
    if not needed:
        del properties["dataset"]["required"]
    required = [name for name in spec["required"] if name not in {"model", "dataset"}]
    result = {**spec, "properties": properties, "required": required}
    if not required:
        del result["required"]
    return result


def _telling_defaults(schema: Schema) -> Schema:
    """The same schema with each default in the description too: `kubectl explain` does not print defaults."""
    result = dict(schema)
    default = result.get("default")
    if default is not None and "description" in result and "properties" not in result:
        shown = f"[{', '.join(map(str, default))}]" if isinstance(default, list) else json.dumps(default)
        result["description"] += f" Default: {shown.strip(chr(34))}."
    if "properties" in result:
        result["properties"] = {
            name: _telling_defaults(child) for name, child in result["properties"].items()
        }
    if "items" in result:
        result["items"] = _telling_defaults(result["items"])
    return result


def _definition(
    plural: str, singular: str, kind: str, *, short_names: list[str], scope: str, version: Schema
) -> Schema:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": short_names,
                "categories": ["all", "ml"],
            },
            "scope": scope,
            "versions": [{"name": VERSION, "served": True, "storage": True, **version}],
        },
    }


def _column(name: str, path: str, description: str, *, kind: str = "string", priority: int = 0) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


JOB_COLUMNS: Final = (
    _column("Phase", ".status.phase", "One word for the state."),
    _column("Progress", ".status.progress.percent", "Share done, in percent.", kind="integer"),
    _column("Loss", ".status.metrics.loss", "Latest training loss."),
    _column("Time left", ".status.progress.remaining", "Expected time left."),
    _column("Attempt", ".status.attempt", "Number of the newest attempt.", kind="integer"),
    _column("Age", ".metadata.creationTimestamp", "Time since the job was created.", kind="date"),
    _column(
        "Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why the job is not ready yet.", priority=1
    ),
    _column("Step", ".status.progress.step", "Optimizer steps done.", kind="integer", priority=1),
    _column(
        "Steps", ".status.progress.totalSteps", "Optimizer steps of the run.", kind="integer", priority=1
    ),
    _column("Eval loss", ".status.metrics.evalLoss", "Latest evaluation loss.", priority=1),
    _column("Tokens/s", ".status.metrics.tokensPerSecond", "Tokens per second, on all ranks.", priority=1),
    _column("Model", ".spec.model.id", "Base model on the hub.", priority=1),
    _column("Method", ".spec.method.type", "Which weights are trained.", priority=1),
    _column("Output", ".status.output.path", "Where the result is.", priority=1),
)


_METADATA: Final[Schema] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 253, "description": "Name of the job."}},
}
"""All that the API server lets a schema say of the metadata; a rule names the field by it."""


def fine_tune_job_crd() -> Schema:
    """The CustomResourceDefinition of FineTuneJob."""
    schema = _telling_defaults(structural_schema(FineTuneJob))
    schema["properties"]["metadata"] = _METADATA
    schema["properties"]["spec"] = _completed_by_presets(schema["properties"]["spec"])
    status = _without(_telling_defaults(structural_schema(FineTuneJobStatus)), {"default"})
    schema["properties"]["status"] = status | {"default": {"observedGeneration": -1}}
    for header in ("apiVersion", "kind"):
        del schema["properties"][header]["default"]
    version = {
        "additionalPrinterColumns": list(JOB_COLUMNS),
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return _definition(
        "finetunejobs",
        "finetunejob",
        "FineTuneJob",
        short_names=["ftj"],
        scope="Namespaced",
        version=version,
    )


def fine_tune_preset_crd() -> Schema:
    """The CustomResourceDefinition of FineTunePreset: a job's sections, none required, no defaults."""
    schema = structural_schema(FineTunePreset)
    schema["properties"]["metadata"] = {"type": "object"}
    for header in ("apiVersion", "kind"):
        del schema["properties"][header]["default"]
    sections = schema["properties"]["spec"]["properties"]
    description = sections["values"]["description"]
    sections["values"] = _partial(structural_schema(FineTuneJobSpec)) | {"description": description}
    columns = [
        _column("Title", ".spec.title", "What the preset is for."),
        _column("Method", ".spec.values.method.type", "Which weights are trained."),
        _column("Age", ".metadata.creationTimestamp", "Time since the preset was created.", kind="date"),
    ]
    version = {"additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": schema}}
    return _definition(
        "finetunepresets",
        "finetunepreset",
        "FineTunePreset",
        short_names=["ftp"],
        scope="Namespaced",
        version=version,
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def to_yaml(document: Mapping[str, Any]) -> str:
    """YAML with keys in the order of the models, without anchors."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def main() -> None:
    """Prints both definitions as one YAML stream."""
    documents = (fine_tune_job_crd(), fine_tune_preset_crd())
    sys.stdout.write("---\n".join(to_yaml(document) for document in documents))


if __name__ == "__main__":
    main()
