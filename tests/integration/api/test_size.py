"""A job at the limit of its size still gets the largest status that there can be."""

import json

import pytest

from finetune_api import FineTuneJobStatus, check_manifest
from finetune_api.crd import structural_schema
from finetune_api.validation import errors_in
from finetune_api.validation.rules.size import MAX_SPEC_BYTES
from onenode import ControlPlaneError

ANNOTATIONS = 256 * 1024
"""What the API server takes of them."""

SHORTENED = {"conditions": 900, "attempts": 400}
"""Messages in bytes, as the operator writes them at most."""


def fullest(schema):
    """A value that is as large as the schema allows, in letters of two bytes."""
    if "enum" in schema:
        return max(schema["enum"], key=len)
    match schema["type"]:
        case "object" if "additionalProperties" in schema:
            names = (f"{number:04}".ljust(32, "ü") for number in range(schema.get("maxProperties", 64)))
            return {name: fullest(schema["additionalProperties"]) for name in names}
        case "object":
            return {name: fullest(child) for name, child in schema["properties"].items()}
        case "array":
            return [fullest(schema["items"]) for _ in range(schema["maxItems"])]
        case "string" if schema.get("format") == "date-time":
            return "2026-11-22T12:00:00Z"
        case "string":
            return "ü" * schema["maxLength"]
        case "boolean":
            return True
        case _:
            return schema.get("maximum", 2**53 - 1)


def fullest_status():
    status = fullest(structural_schema(FineTuneJobStatus))
    for section, limit in SHORTENED.items():
        for number, item in enumerate(status[section]):
            item["message"] = "ü" * (limit // 2)
            item["type" if section == "conditions" else "number"] = (
                f"{number}" if section == "conditions" else number + 1
            )
    for number, benchmark in enumerate(status["evaluation"]["benchmarks"]):
        benchmark["name"] = str(number).ljust(32, "ü")
    return status


def at_the_limit(manifest, name):
    """A job with as many fields as it can have, each of which costs the more, the shorter it is."""
    job = manifest(name, distributed={"deepspeedConfig": {}})
    low, high = 0, MAX_SPEC_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        job["spec"]["distributed"]["deepspeedConfig"] = {f"k{number:05}": 1 for number in range(middle)}
        too_large = any("room for the job's status" in found.message for found in check_manifest(job)[1])
        low, high = (low, middle) if too_large else (middle, high)
    job["spec"]["distributed"]["deepspeedConfig"] = {f"k{number:05}": 1 for number in range(low)}
    return job


def test_the_largest_status_has_room_beside_the_largest_spec(api, manifest):
    job = at_the_limit(manifest, "largest")
    assert not errors_in(check_manifest(job)[1])
    for manager in ("one", "another"):
        api.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", manifest=job)
    note = {"metadata": {"annotations": {"note": "x" * (ANNOTATIONS - 100)}}}
    api.patch("largest", note)
    status = fullest_status()
    api.patch("largest", {"status": status}, status=True)
    stored = json.loads(api.kubectl("get", "ftj", "largest", "-o", "json", "--show-managed-fields"))
    assert stored["status"] == status
    assert len(json.dumps(stored)) > 1_000_000, "a job that tries nothing would pass, whatever the limit"


def test_without_a_limit_there_would_be_no_room(api, manifest):
    job = manifest("too-large", distributed={"deepspeedConfig": {"comment": "x" * 1_400_000}})
    api.create(job)
    with pytest.raises(ControlPlaneError, match="too large"):
        api.patch("too-large", {"status": fullest_status()}, status=True)
