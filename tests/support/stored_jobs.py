"""A job as the API server stores it: every default filled in, and who owns which field."""

from typing import Any

from finetune_api import parse_job

Manifest = dict[str, Any]


def stored(written: Manifest, **metadata: Any) -> Manifest:
    """The job with this spec, after the schema's defaults."""
    header = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob"}
    job = parse_job({**header, "metadata": {"name": "tune"}, "spec": written})
    return {**header, "metadata": {"name": "tune", **metadata}, "spec": job.spec.to_json_object()}


def manager(operation: str, spec: Manifest, **more: str) -> Manifest:
    """An entry of `metadata.managedFields`: somebody owns the fields of `spec`."""
    return {"manager": "m", "operation": operation, "fieldsV1": {"f:spec": {".": {}, **_owned(spec)}}, **more}


def _owned(value: Any) -> Any:
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": _owned(below) for name, below in value.items()}
