"""A checkpoint's adapter or model as one that anybody can load, an adapter on the job's own base.

Training goes on from what a checkpoint holds, which may be an adapter for a residual of the base, one that
brings along modules that only training has, or a model whose experts other programs do not know.
"""

import json
from collections.abc import Collection
from pathlib import Path

from safetensors.torch import load_file, save_file

from finetune_trainer.methods.decomposition import ADAPTER, CONFIG, make_ordinary
from finetune_trainer.methods.original_names import has_joined_experts, part_experts
from finetune_trainer.methods.start import Start


def is_loadable(directory: Path, start: Start) -> bool:
    """Whether what training saves is what its users load."""
    extra = start.head.extra and (directory / ADAPTER).exists()
    return start.adapter is None and not extra and not has_joined_experts(directory)


def make_loadable(directory: Path, start: Start) -> None:
    """Changes a copy of a checkpoint's adapter or model, in place: its files are written again."""
    if start.adapter is not None:
        make_ordinary(directory, start.adapter, start.original)
    if start.head.extra and (directory / ADAPTER).exists():
        _drop(directory, start.head.extra)
    if has_joined_experts(directory):
        part_experts(directory)


def _drop(directory: Path, modules: Collection[str]) -> None:
    weights = load_file(directory / ADAPTER)
    kept = {name: weight for name, weight in weights.items() if not set(modules) & set(name.split("."))}
    save_file(kept, directory / ADAPTER)
    file = directory / CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    saved = [name for name in config.get("modules_to_save") or [] if name not in modules]
    config["modules_to_save"] = saved or None
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
