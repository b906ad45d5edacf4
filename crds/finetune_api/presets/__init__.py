"""Presets: named values that a job starts from, and how they are merged into it.

The command line resolves a preset before it sends a job, from the manifest as it is written (`merge`). The
operator does so for a job that was stored with `spec.preset` (`in_cluster`), where what its author wrote has
first to be told from the defaults that the API server filled in (`written`).
"""

from finetune_api.presets.builtin import Preset, builtin_preset, builtin_presets
from finetune_api.presets.merge import PRESET_ANNOTATION, Resolution, resolve

__all__ = ["PRESET_ANNOTATION", "Preset", "Resolution", "builtin_preset", "builtin_presets", "resolve"]
