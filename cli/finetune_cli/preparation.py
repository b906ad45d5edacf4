"""From a job as it is written to the job that is checked and sent: `--set`, then its preset.

Defaults are not filled in here; the models do that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_cli.errors import INVALID, CommandError
from finetune_cli.manifests import JobDocument, ManifestFile, PresetDocument, chosen, label_of, load
from finetune_cli.overrides import apply_overrides
from finetune_cli.yaml_reader import YamlError


@dataclass(frozen=True)
class PreparedJob:
    """A job with its preset and `--set` in it, and where each value came from."""

    document: JobDocument
    """As written, with the positions in the file."""

    body: Mapping[str, Any]
    """What is checked, sent or run."""

    origins: Mapping[str, str] = field(default_factory=dict)
    """`manifest`, `--set` or `preset NAME` by the path of the value; what is not here is a default."""

    def origin(self, path: str) -> str:
        """Return where the value of a field came from; a map is where one of its keys came from."""
        below = (origin for named, origin in self.origins.items() if named.startswith(f"{path}."))
        return self.origins.get(path) or next(below, "default")


def read(
    source: str, name: str | None, overrides: Sequence[str], status: int = INVALID
) -> tuple[ManifestFile, PreparedJob]:
    """Return a file, and the job called `name` (or the only one) in it, prepared.

    Raises `CommandError`, with that status for what stands in the file.
    """
    try:
        manifest = load(source)
        return manifest, prepare(chosen(manifest.label, manifest.jobs, name), manifest.presets, overrides)
    except YamlError as error:
        raise CommandError(error.about(label_of(source)), status) from None


def prepare(job: JobDocument, presets: Mapping[str, PresetDocument], overrides: Sequence[str]) -> PreparedJob:
    """Apply `overrides` (`PATH=VALUE`) and then the preset that the job names.

    Raises `OverrideError`; `YamlError` for a preset that is not there or no preset.
    """
    body = apply_overrides(job.body, overrides) if overrides else dict(job.body)
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return PreparedJob(job, body)
    origins = _origins(job.body.get("spec"), spec)
    name = spec.get("preset")
    if not isinstance(name, str) or not name:
        return PreparedJob(job, body, origins)
    return _with_preset(job, body, name, presets, origins)


def _with_preset(
    job: JobDocument,
    body: dict[str, Any],
    name: str,
    presets: Mapping[str, PresetDocument],
    origins: Mapping[str, str],
) -> PreparedJob:
    from finetune_api.presets import PRESET_ANNOTATION, resolve

    resolution = resolve(_values(job, name, presets), body["spec"])
    metadata = body.get("metadata") or {}
    annotations = (metadata.get("annotations") or {}) if isinstance(metadata, Mapping) else None
    if isinstance(annotations, Mapping):
        named = {**annotations, PRESET_ANNOTATION: name}
        body = body | {"metadata": {**metadata, "annotations": named}}
    from_preset = {
        path: f"preset {name}" for path, origin in resolution.origins.items() if origin == "preset"
    }
    return PreparedJob(job, body | {"spec": resolution.spec}, {**origins, **from_preset})


def _values(job: JobDocument, name: str, presets: Mapping[str, PresetDocument]) -> Mapping[str, Any]:
    if name in presets:
        return presets[name].values
    from finetune_api.presets import builtin_preset
    from finetune_api.presets.lookup import unknown_preset

    found = builtin_preset(name)
    if found is not None:
        return found.values
    finding = unknown_preset(name, presets, "in the files")
    raise YamlError(
        finding.code,
        f"{name} {finding.message}",
        finding.remedy,
        job.document.locate("spec.preset"),
        path=finding.path,
    )


def _origins(written: Any, spec: Mapping[str, Any]) -> dict[str, str]:
    from finetune_api.presets.merge import leaves

    before = dict(leaves(written)) if isinstance(written, Mapping) else {}
    return {
        path: "manifest" if path in before and before[path] == value else "--set"
        for path, value in leaves(spec)
        if path != "preset"
    }
