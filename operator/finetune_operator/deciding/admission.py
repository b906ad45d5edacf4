"""Admission: what the API server is told about a FineTuneJob or FineTunePreset that somebody applies. Pure.

An error refuses the job; warnings and suggestions travel along, and kubectl prints them. The findings and
their words are those of the reconciler and of the command line. A write that asks for nothing new always
passes, so that a job which was valid once, or slipped in, can still be labelled, paused, finalised, deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel

from finetune_api import GROUP, Finding, InvalidJobError, parse_job
from finetune_api.presets.check import check_preset
from finetune_api.presets.in_cluster import replaced_defaults, with_preset
from finetune_api.printable import printable
from finetune_api.validation import Code, errors_in
from finetune_operator.deciding.refusal import described
from finetune_operator.hardware import Hardware
from finetune_operator.hardware import findings as findings_about

WARNING_CHARACTERS: Final = 256
ALL_WARNINGS_CHARACTERS: Final = 4096
"""Once all warnings of a request exceed the latter, the API server cuts each to the former and drops the
last ones (`truncateItemRunes`, `truncateAtTotalRunes` in k8s.io/apiserver/pkg/endpoints/filters)."""

Manifest = Mapping[str, Any]
PresetsOf = Callable[[str], Mapping[str, Manifest]]
"""The FineTunePresets of a namespace, by name."""

_OUTSIDE_SPEC: Final = frozenset({"", "apiVersion", "kind", "metadata", "spec"})


class AdmissionRequest(BaseModel):
    """The part that matters here of a request in `admission.k8s.io/v1`."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="ignore", frozen=True
    )

    uid: str
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None


class AdmissionReview(BaseModel):
    """What the API server posts."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)

    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: AdmissionRequest


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request: without `errors` it passes, with `warnings` on the way."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the object may be stored."""
        return not self.errors


def judge(
    request: AdmissionRequest, presets_of: PresetsOf = lambda _: {}, hardware: Hardware | None = None
) -> Verdict:
    """Whether the object of a request may be stored, and what its author should know. Memory is judged by the
    devices of `hardware`, as the reconciler does; what only the nodes can't hold is a warning here."""
    hardware = hardware or Hardware()
    new, old = request.object, request.old_object
    if new is None or request.operation not in {"CREATE", "UPDATE"}:
        return Verdict()
    if old is not None and (_is_leaving(new) or _wish(new) == _wish(old)):
        return Verdict()
    if new.get("kind") == "FineTunePreset":
        return _verdict(check_preset(new))
    own = presets_of((new.get("metadata") or {}).get("namespace", ""))
    findings = _findings(new, own, hardware)
    if old is not None and _has_started(old):
        # What is fixed since the start can't be mended any more, so only what this change adds may refuse it.
        known = _findings(old, own, hardware)
        findings = [finding for finding in findings if finding not in known]
    return _verdict(findings)


def _verdict(findings: Sequence[Finding]) -> Verdict:
    advice = [finding for finding in findings if finding.severity != "error"]
    return Verdict(tuple(errors_in(findings)), tuple(warning_lines(advice)))


def answer(request: AdmissionRequest, verdict: Verdict) -> dict[str, JsonValue]:
    """The AdmissionReview that goes back to the API server."""
    response: dict[str, JsonValue] = {"uid": request.uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = _status(request.object or {}, verdict.errors)
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def warning_lines(findings: Sequence[Finding]) -> list[str]:
    """One line per finding, code and path first; few and short enough that none is cut on its way."""
    lines = [_line(finding) for finding in findings]
    if sum(map(len, lines)) <= ALL_WARNINGS_CHARACTERS:
        return lines
    most = ALL_WARNINGS_CHARACTERS // WARNING_CHARACTERS
    if len(lines) > most:
        left_out = len(lines) - most + 1
        lines = [*lines[: most - 1], f"{left_out} more findings: `finetune validate` shows all of them"]
    return [_shortened(line) for line in lines]


def _line(finding: Finding) -> str:
    """A finding as kubectl shows it after `Warning: `."""
    kind = "suggestion " if finding.severity == "suggestion" else ""
    # A header with a control character in it would be dropped whole.
    return printable(f"{kind}{finding.code}: {finding}")


def _shortened(line: str) -> str:
    return line if len(line) <= WARNING_CHARACTERS else line[: WARNING_CHARACTERS - 1] + "…"


def _status(manifest: Mapping[str, Any], errors: Sequence[Finding]) -> JsonValue:
    """The refusal as a Kubernetes Status: kubectl lists its causes as it lists the schema's refusals."""
    return {
        "code": 422,
        "reason": "Invalid",
        "message": described(errors),
        "details": {
            "group": GROUP,
            "kind": manifest.get("kind") or "FineTuneJob",
            "name": (manifest.get("metadata") or {}).get("name", ""),
            "causes": [
                {"reason": error.code, "field": _field(error.path), "message": _without_path(error)}
                for error in errors
            ],
        },
    }


def _field(path: str) -> str:
    """A finding's path from the root of the object."""
    section = path.partition(".")[0].partition("[")[0]
    return path if section in _OUTSIDE_SPEC else f"spec.{path}"


def _without_path(finding: Finding) -> str:
    return str(finding).removeprefix(f"{finding.path}:").lstrip()


def _findings(manifest: Manifest, own: Mapping[str, Manifest], hardware: Hardware) -> list[Finding]:
    """Every finding about what its author wrote, over its preset: the status is the operator's."""
    written = {key: value for key, value in manifest.items() if key != "status"}
    try:
        whole, preset = with_preset(written, own)
    except InvalidJobError as error:
        # It may have been applied a moment ago, or come with the next file: the job waits for it, Stalled.
        return [finding.model_copy(update={"severity": "warning"}) for finding in error.findings]
    try:
        found = findings_about(parse_job(whole), hardware)
    except InvalidJobError as error:
        found = error.findings
    found = [_for_now(finding) for finding in found]
    return [*found, *replaced_defaults(written, whole, preset)]


def _for_now(finding: Finding) -> Finding:
    """A job that the nodes of now can't hold is stored all the same: larger ones may come, and the reconciler
    looks again."""
    passes = finding.code == Code.NO_NODE_FITS.value
    return finding.model_copy(update={"severity": "warning"}) if passes else finding


def _wish(manifest: Mapping[str, Any]) -> object:
    """What a job asks for, apart from being paused or cancelled."""
    spec = manifest.get("spec")
    if not isinstance(spec, Mapping):
        return spec
    return {key: value for key, value in spec.items() if key not in {"suspend", "cancel"}}


def _is_leaving(manifest: Mapping[str, Any]) -> bool:
    return bool((manifest.get("metadata") or {}).get("deletionTimestamp"))


def _has_started(manifest: Mapping[str, Any]) -> bool:
    status = manifest.get("status") or {}
    return bool(status.get("startTime") or status.get("attempts"))
