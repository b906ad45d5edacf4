"""A checkpoint's weights under the names that the model's authors gave them.

A checkpoint of a mixture of experts holds a layer's experts as transformers 5 does, in one parameter, from
which training goes on (`FineTuneTrainer._save`). Other programs read the many that the base came with.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

INDEX: Final = "model.safetensors.index.json"
WEIGHTS: Final = "model*.safetensors"


def has_joined_experts(directory: Path) -> bool:
    """Whether experts are parameters of three dimensions; only the files' heads are read."""
    for file in directory.glob(WEIGHTS):
        with safe_open(file, framework="pt") as weights:
            names = [name for name in weights.keys() if ".experts." in name]  # noqa: SIM118 - no mapping
            if any(len(weights.get_slice(name).get_shape()) == 3 for name in names):
                return True
    return False


def part_experts(directory: Path) -> None:
    """Writes the weights in a directory again, file by file, as transformers writes the result's."""
    from transformers.core_model_loading import revert_weight_conversion

    config = AutoConfig.from_pretrained(directory)
    kind = getattr(transformers, config.architectures[0], None)
    if kind is None:
        return  # a repository's own code, whose names they are
    with torch.device("meta"):
        model = kind(config)
    places: dict[str, str] = {}
    for file in sorted(directory.glob(WEIGHTS)):
        parted = revert_weight_conversion(model, load_file(file))
        save_file(dict(_whole(parted)), file, metadata={"format": "pt"})
        places |= dict.fromkeys(parted, file.name)
    index = directory / INDEX
    if index.exists():
        told = json.loads(index.read_text(encoding="utf-8")) | {"weight_map": dict(sorted(places.items()))}
        index.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _whole(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """A file takes no views of what others hold too."""
    for name, weight in weights.items():
        yield name, weight.contiguous().clone()
