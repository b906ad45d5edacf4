"""The presets that come with the product: one YAML file each, in the form of a FineTunePreset."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Preset:
    """Named values that a job starts from."""

    name: str
    title: str
    description: str
    values: dict[str, Any]
    resource_version: str = ""
    """Of a FineTunePreset that is stored in a cluster."""

    @property
    def digest(self) -> str:
        """SHA-256 of the values, in hexadecimal: two presets that give the same have the same."""
        canonical = json.dumps(self.values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "Preset":
        """Return the preset that a FineTunePreset describes. Raises `pydantic.ValidationError`."""
        from finetune_api.preset import FineTunePreset

        preset = FineTunePreset.from_json_object(manifest)
        return cls(
            preset.metadata.name,
            preset.spec.title,
            preset.spec.description.strip(),
            preset.spec.values,
            preset.metadata.resource_version,
        )


def builtin_presets() -> list[Preset]:
    """Return every built-in preset, by name."""
    return [_read(file) for file in sorted(_files().values())]


def builtin_names() -> list[str]:
    """Return the names of the built-in presets."""
    return sorted(_files())


def builtin_preset(name: str) -> Preset | None:
    """Return the built-in preset of that name; None if there is none."""
    file = _files().get(name)
    return None if file is None else _read(file)


def _files() -> dict[str, Path]:
    return {file.stem: file for file in Path(__file__).parent.glob("*.yaml")}


@cache
def _read(file: Path) -> Preset:
    return Preset.from_manifest(yaml.safe_load(file.read_text(encoding="utf-8")))
