"""A stored job with its preset in it: as the preset is now, or, once the job has started, as it was then."""

from collections.abc import Mapping
from typing import Any, Final

from finetune_api.base import AUTO
from finetune_api.immutability import FIXED_POLICIES, FIXED_SECTIONS
from finetune_api.presets.lookup import find_preset
from finetune_api.presets.merge import leaves, resolve
from finetune_api.presets.written import tells_what_was_written, written_spec
from finetune_api.resolved import AppliedPreset, ResolvedJob
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, warning

Manifest = Mapping[str, Any]

_PATHS_SHOWN: Final = 5

_SETTLED_FIELDS: Final = ("training.microBatchSize", "distributed.zeroStage", "quantization.type")


def preset_named_by(manifest: Manifest) -> str | None:
    """The name in `spec.preset`, if there is one."""
    spec = manifest.get("spec")
    name = spec.get("preset") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) and name else None


def is_settled_by_its_start(manifest: Manifest) -> bool:
    """Whether a stored job leaves something open that its first attempt settles for all that follow: it names
    a preset, or says `auto` where a change would keep a checkpoint from being read as it is."""
    if preset_named_by(manifest) is not None:
        return True
    spec = dict(leaves(manifest["spec"]))
    return any(spec.get(path) == AUTO for path in _SETTLED_FIELDS)


def with_preset(manifest: Manifest, own: Mapping[str, Manifest]) -> tuple[Manifest, AppliedPreset | None]:
    """A job over the preset that it names, and what was applied; a job that names none as it is.

    `own` holds the FineTunePresets of the job's namespace by name; they come before the built-in ones.

    Raises `InvalidJobError`: there is no such preset, or it is none.
    """
    name = preset_named_by(manifest)
    if name is None:
        return manifest, None
    preset = find_preset(name, own, "a FineTunePreset of the job's namespace")
    applied = AppliedPreset(
        name=name,
        source="namespace" if name in own else "builtin",
        resource_version=preset.resource_version or None,
        digest=preset.digest,
        values=preset.values,
    )
    spec = resolve(preset.values, written_spec(manifest)).spec
    return {**manifest, "spec": {**spec, "preset": name}}, applied


def replaced_defaults(written: Manifest, whole: Manifest, preset: AppliedPreset | None) -> list[Finding]:
    """A warning where `preset` may have taken the place of defaults that the job's author spelled out."""
    if preset is None or tells_what_was_written(written):
        return []
    given = dict(leaves(written["spec"]))
    replaced = [path for path, value in leaves(whole["spec"]) if path in given and given[path] != value]
    if not replaced:
        return []
    shown = ", ".join(replaced[:_PATHS_SHOWN]) + (", …" if len(replaced) > _PATHS_SHOWN else "")
    message = f"gives {shown}: after a create nothing tells whether you set these to their defaults"
    remedy = "Use kubectl apply, or finetune submit, if you have set one of them"
    return [warning(Code.PRESET_OVER_DEFAULT, "preset", message, remedy, preset.name)]


def as_recorded(manifest: Manifest, record: ResolvedJob) -> Manifest:
    """A job that has started, with what an attempt of it recorded wherever a spec is fixed by then.

    The rest (suspend, limits) is the job's as it is now, over the values that the preset had at the start.
    """
    spec = dict(manifest["spec"])
    if record.preset is not None:
        spec = resolve(record.preset.values, written_spec(manifest)).spec
    recorded = record.spec.to_json_object()
    policies = {**_section(spec, "failurePolicy")}
    _take_over(spec, recorded, FIXED_SECTIONS)
    _take_over(policies, _section(recorded, "failurePolicy"), FIXED_POLICIES)
    return {**manifest, "spec": {**spec, "failurePolicy": policies}}


def _take_over(target: dict[str, Any], source: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        target.pop(name, None)
        if name in source:
            target[name] = source[name]


def _section(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = spec.get(name)
    return section if isinstance(section, Mapping) else {}
