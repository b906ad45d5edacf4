"""What is wrong with manifests, as a table for people and as JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_api.printable import printable
from finetune_api.validation import Finding, Severity, Target, check_manifest, validate_job
from finetune_cli.manifests import JobDocument, ManifestFile, PresetDocument, label_of, load
from finetune_cli.preparation import PreparedJob, prepare
from finetune_cli.yaml_reader import Position, YamlError


@dataclass(frozen=True)
class PlacedFinding:
    """A finding, and where in the file it stands."""

    finding: Finding
    position: Position | None

    def line(self, file: str) -> str:
        """For people: `job.yaml:12:5: error NotAllowed: method.type: lorra must be one of …`."""
        where = f":{self.position.line}:{self.position.column}" if self.position else ""
        said = str(self.finding).removeprefix(f"{self.position}: ")
        return f"{printable(file)}{where}: {self.finding.severity} {self.finding.code}: {said}"


@dataclass(frozen=True)
class FileReport:
    """Everything found in one file."""

    file: str
    findings: Sequence[PlacedFinding]

    @property
    def valid(self) -> bool:
        """Whether every job in the file may run."""
        return not any(placed.finding.severity == "error" for placed in self.findings)

    def to_json_object(self) -> dict[str, Any]:
        """Return `{file, valid, errors, warnings, suggestions}`, the form that programs rely on."""
        groups: dict[Severity, str] = {"error": "errors", "warning": "warnings", "suggestion": "suggestions"}
        return {"file": self.file, "valid": self.valid} | {
            key: [
                placed.finding.for_machines()
                for placed in self.findings
                if placed.finding.severity == severity
            ]
            for severity, key in groups.items()
        }

    def lines(self) -> Iterable[str]:
        """One line for people about each finding."""
        return (placed.line(self.file) for placed in self.findings)


def check_files(
    sources: Sequence[str], target: Target = "cluster", overrides: Sequence[str] = ()
) -> list[FileReport]:
    """Return every finding about the jobs in each source, a path or `-`.

    A FineTunePreset in one file is known to the jobs in all of them.

    Raises `OverrideError`, and nothing for what stands in the files.
    """
    files: list[ManifestFile | FileReport] = []
    for source in sources:
        try:
            files.append(load(source))
        except YamlError as error:
            files.append(FileReport(label_of(source), [unreadable(error)]))
    presets: dict[str, PresetDocument] = {}
    for file in files:
        if isinstance(file, ManifestFile):
            presets.update(file.presets)
    return [
        file if isinstance(file, FileReport) else _check(file, target, presets, overrides) for file in files
    ]


def _check(
    file: ManifestFile, target: Target, presets: Mapping[str, PresetDocument], overrides: Sequence[str]
) -> FileReport:
    several = len(file.jobs) + len(file.presets) > 1
    found = _about_presets(file, several) if file.presets else []
    for job in file.jobs:
        try:
            prepared = prepare(job, presets, overrides)
        except YamlError as error:
            found.append(unreadable(error))
            continue
        prefix = f"{job.name or 'unnamed'}: " if several else ""
        found += place(job, check_job(prepared, target), prefix)
    return FileReport(file.label, found)


def _about_presets(file: ManifestFile, several: bool) -> list[PlacedFinding]:
    from finetune_api.presets.check import check_preset

    return [
        placed
        for preset in file.presets.values()
        for placed in place(preset, check_preset(preset.body), f"{preset.name}: " if several else "")
    ]


def check_job(job: PreparedJob, target: Target) -> list[Finding]:
    """Return every finding about one job."""
    parsed, findings = check_manifest(job.body)
    return findings if parsed is None or target == "cluster" else validate_job(parsed, target)


def place(
    job: JobDocument | PresetDocument, findings: Iterable[Finding], prefix: str = ""
) -> list[PlacedFinding]:
    """Give each finding its place in the file; `prefix` names the object where a file holds several."""
    return [
        PlacedFinding(
            finding.model_copy(update={"path": f"{prefix}{finding.path}"}), locate(job, finding.path)
        )
        for finding in findings
    ]


def locate(job: JobDocument | PresetDocument, path: str) -> Position:
    """Return where a finding's field, or its nearest parent, stands. Findings leave out `spec.`."""
    within_spec = path.partition(".")[0].partition("[")[0] not in {
        "",
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    }
    return job.document.locate(f"spec.{path}" if within_spec else path)


def unreadable(error: YamlError) -> PlacedFinding:
    """Return the finding that stands for a file that could not be read as a manifest."""
    # Where it is about a field, the path says the place; else JSON has no other word of it.
    message = error.problem if error.path else str(error)
    finding = Finding(
        severity="error",
        code=str(error.code),
        path=error.path,
        message=message[0].lower() + message[1:],
        remedy=error.remedy.removesuffix("."),
    )
    return PlacedFinding(finding, error.position)
