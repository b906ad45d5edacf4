"""Presets: named values that a job starts from, and how they are merged into it.

A preset is resolved before the job reaches the API server. The API server fills in the schema's defaults
before anything of ours sees the object, so that only the manifest as it is written tells what its author left
open.
"""

from finetune_api.presets.builtin import Preset, builtin_preset, builtin_presets
from finetune_api.presets.merge import PRESET_ANNOTATION, Resolution, resolve

__all__ = ["PRESET_ANNOTATION", "Preset", "Resolution", "builtin_preset", "builtin_presets", "resolve"]
