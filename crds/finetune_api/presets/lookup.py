"""Which preset a name means: one of the author's own (a FineTunePreset) before a built-in one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from finetune_api.presets.builtin import Preset, builtin_names, builtin_preset
from finetune_api.validation.codes import Code
from finetune_api.validation.findings import Finding, InvalidJobError, error


def find_preset(name: str, own: Mapping[str, Mapping[str, Any]], where: str) -> Preset:
    """The preset that a job means by `name`.

    `own` holds the FineTunePresets, as manifests by name; `where` says in words where they were looked for.

    Raises `InvalidJobError` with the finding `UnknownPreset`, or `InvalidPreset` for one that is no preset.
    """
    manifest = own.get(name)
    if manifest is not None:
        try:
            return Preset.from_manifest(manifest)
        except ValidationError as invalid:
            raise InvalidJobError([_invalid(name, invalid)]) from None
    found = builtin_preset(name)
    if found is None:
        raise InvalidJobError([unknown_preset(name, own, where)])
    return found


def unknown_preset(name: str, own: Iterable[str], where: str) -> Finding:
    """The finding about a name that is no preset's."""
    near = difflib.get_close_matches(name, [*own, *builtin_names()], n=1, cutoff=0.5)
    return error(
        Code.UNKNOWN_PRESET,
        "preset",
        f"is not the name of a preset, neither built in nor {where}",
        f"Did you mean {near[0]}?"
        if near
        else "See `finetune presets`, or create the FineTunePreset that you mean",
        name,
    )


def _invalid(name: str, invalid: ValidationError) -> Finding:
    first = invalid.errors(include_url=False)[0]
    path = ".".join(map(str, first["loc"]))
    return error(
        Code.INVALID_PRESET,
        "preset",
        f"names a FineTunePreset that is none: {path}: {first['msg'][0].lower()}{first['msg'][1:]}",
        "Fix the FineTunePreset: it needs metadata.name, spec.title and spec.values",
        name,
    )
