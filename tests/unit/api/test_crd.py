import json
from collections.abc import Iterator
from typing import Any

import pytest

from finetune_api import FineTuneJobSpec
from finetune_api.base import ApiModel
from finetune_api.crd import fine_tune_job_crd, fine_tune_preset_crd, structural_schema, to_yaml
from finetune_api.immutability import FIXED_SECTIONS

CLIENT_SIDE_APPLY_BYTES = 262144
"""kubectl apply keeps the whole object in an annotation of at most this size."""

Schema = dict[str, Any]
JOB = fine_tune_job_crd()
SCHEMA = JOB["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.mark.parametrize("crd", [JOB, fine_tune_preset_crd()], ids=lambda crd: crd["metadata"]["name"])
class TestEveryDefinition:
    def test_is_structural(self, crd):
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        forbidden = {"$ref", "$defs", "oneOf", "allOf", "not", "title", "const"}
        for path, node in nodes(schema):
            assert "type" in node or "x-kubernetes-int-or-string" in node, path
            assert not forbidden & set(node), path
            assert "anyOf" not in node or "x-kubernetes-int-or-string" in node, path

    def test_fits_into_the_annotation_of_kubectl_apply(self, crd):
        assert len(json.dumps(crd, separators=(",", ":"))) < CLIENT_SIDE_APPLY_BYTES

    def test_describes_every_field(self, crd):
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        bare = [
            path
            for path, node in nodes(schema)
            if path and not path.endswith("[]") and path != ".metadata" and not node.get("description")
        ]
        assert bare == []

    def test_yaml_has_no_anchors(self, crd):
        assert "&id" not in to_yaml(crd)


def test_everything_in_the_spec_is_bounded_so_that_cel_costs_can_be_estimated():
    unbounded = []
    for path, node in nodes(SPEC):
        text = node.get("type") == "string" and not {"enum", "maxLength", "format"} & set(node)
        if text and "pattern" in node and "{64}" in node["pattern"]:
            continue
        many = node.get("type") == "array" and "maxItems" not in node
        named = "additionalProperties" in node and "maxProperties" not in node
        number = node.get("type") in ("integer", "number") and not {"minimum", "maximum"} <= set(node)
        if text or many or named or number:
            unbounded.append(path)
    assert unbounded == []


def test_unknown_fields_are_kept_only_in_the_raw_deepspeed_configuration():
    kept = [path for path, node in nodes(SCHEMA) if "x-kubernetes-preserve-unknown-fields" in node]
    assert kept == [".spec.distributed.deepspeedConfig"]


def test_a_new_job_is_never_taken_for_ready():
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert [path for path, node in nodes(SCHEMA["properties"]["status"]) if path and "default" in node] == []


def test_the_defaults_of_the_schema_are_those_of_the_models():
    def filled(schema: Schema, value: Any) -> Any:
        if "properties" not in schema:
            return value
        result = dict(value)
        for name, child in schema["properties"].items():
            if name in result:
                result[name] = filled(child, result[name])
            elif "default" in child:
                result[name] = filled(child, child["default"])
        return result

    minimal = {"model": {"id": "a/b"}, "dataset": {"train": {"path": "/d"}}}
    empty = [[], {}]
    model = FineTuneJobSpec.from_json_object(minimal).to_json_object()
    assert without(model, empty) == without(filled(SPEC, minimal), empty)


def without(value: Any, empty: list[Any]) -> Any:
    if isinstance(value, dict):
        children = {name: without(child, empty) for name, child in value.items()}
        return {name: child for name, child in children.items() if child not in empty}
    return value


def test_people_see_phase_progress_loss_time_left_attempt_and_age():
    columns = JOB["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == ["Phase", "Progress", "Loss", "Time left", "Attempt", "Age"]


@pytest.mark.parametrize(
    "path",
    [
        column["jsonPath"].lstrip(".")
        for column in JOB["spec"]["versions"][0]["additionalPrinterColumns"]
        if "[" not in column["jsonPath"]
    ],
)
def test_every_column_shows_a_field_that_exists(path):
    node = SCHEMA
    for name in path.split("."):
        if name == "metadata":
            return
        node = node.get("additionalProperties") or node["properties"][name]
    assert node["type"] in ("string", "integer")


def test_names_short_names_and_categories():
    names = JOB["spec"]["names"]
    assert (names["plural"], names["shortNames"], names["categories"]) == (
        "finetunejobs",
        ["ftj"],
        ["all", "ml"],
    )
    assert JOB["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_every_section_of_the_spec_is_fixed_or_known_to_be_free():
    assert set(SPEC["properties"]) - set(FIXED_SECTIONS) == {"suspend", "cancel", "failurePolicy", "budget"}


def test_a_preset_fills_in_nothing_and_requires_nothing():
    values = fine_tune_preset_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    values = values["properties"]["spec"]["properties"]["values"]
    assert set(values["properties"]) == set(SPEC["properties"])
    for path, node in nodes(values):
        assert "default" not in node, path
        assert "x-kubernetes-validations" not in node, path
        if "required" in node:
            assert path.endswith("[]"), path


def test_something_that_no_structural_schema_can_say_is_a_mistake_of_ours():
    class Odd(ApiModel):
        either: int | str = 1

    with pytest.raises(ValueError, match=r"Odd\.either: a structural schema has no anyOf"):
        structural_schema(Odd)


def test_every_rule_of_cel_says_its_rule_and_its_remedy():
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", [])]
    for rule in rules:
        if "oldSelf" not in rule["rule"]:
            assert rule["message"].count(". ") == 1, rule
            assert rule["message"].endswith("."), rule
