"""What is wrong with a FineTunePreset, told of the job that would come of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from finetune_api.base import API_VERSION
from finetune_api.preset import FineTunePreset
from finetune_api.presets.merge import leaves, resolve
from finetune_api.validation.codes import Code
from finetune_api.validation.fields import plain
from finetune_api.validation.findings import Finding, InvalidJobError, error, warning
from finetune_api.validation.parsing import finding_of, parse_job
from finetune_api.validation.validate import validate_job

_MINIMAL: Final[Mapping[str, Any]] = {
    "model": {"id": "organisation/model"},
    "dataset": {"train": {"hub": {"id": "organisation/data"}}},
    "checkpoints": {"storage": {"claimName": "models"}},
}
"""What a job has to say for itself; a preset may say it instead."""


def check_preset(manifest: Mapping[str, Any]) -> list[Finding]:
    """Every finding about a FineTunePreset. Pure.

    Values that no job could have are errors. What only contradicts other fields is a warning: a job may
    change either of them.
    """
    try:
        preset = FineTunePreset.from_json_object(manifest)
    except ValidationError as invalid:
        return [finding_of(details, FineTunePreset) for details in invalid.errors(include_url=False)]
    values = preset.spec.values
    job = {
        "apiVersion": API_VERSION,
        "kind": "FineTuneJob",
        "metadata": {"name": "job"},
        "spec": resolve(_MINIMAL, values).spec,
    }
    return [*_out_of_place(values), *_about_values(job, [path for path, _ in leaves(values)])]


def _out_of_place(values: Mapping[str, Any]) -> Iterator[Finding]:
    if values.get("preset") is not None:
        message, remedy = "a preset can't start from another one", "Copy the values that you need"
        yield error(Code.NOT_ALLOWED, "values.preset", message, remedy, str(values["preset"]))
    if values.get("cancel"):
        message, remedy = "would cancel every job that uses the preset", "Remove it"
        yield error(Code.NOT_ALLOWED, "values.cancel", message, remedy, plain(values["cancel"]))


def _about_values(job: Mapping[str, Any], paths: list[str]) -> Iterator[Finding]:
    try:
        findings = validate_job(parse_job(job))
    except InvalidJobError as invalid:
        for finding in invalid.findings:
            yield finding.model_copy(update={"path": f"values.{finding.path}"})
        return
    for finding in findings:
        if finding.severity != "error" or not any(_touches(path, finding.path) for path in paths):
            continue
        yield warning(
            Code.INCOMPLETE_PRESET,
            f"values.{finding.path}",
            f"a job that adds nothing to it is refused: {finding.message}",
            finding.remedy,
            finding.value,
        )


def _touches(one: str, other: str) -> bool:
    """Whether one path leads to the other, or past it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
