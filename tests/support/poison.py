"""Models whose weights make a loss or a gradient that is not a number, for one token and no other."""

import json
import shutil
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

TOKEN = "Z"
"""In no record of the tests but those that are meant to break."""

RECORD = {"instruction": TOKEN, "output": "1"}

Harm = Literal["loss", "gradient", "weight"]


def poisoned(model: Path, directory: Path, harm: Harm) -> Path:
    """A copy of a model that computes what is not a number when it sees `TOKEN`; on other tokens it is
    trained as any model is.

    loss: all weights are finite, but the token alone uses a dimension that the first norm multiplies beyond
    what a float holds. gradient: the embedding is zero and the norms add next to nothing to its variance, so
    that they pass zeros on but their derivative at zero is infinite. weight: the token's embedding is NaN.
    """
    shutil.copytree(model, directory)
    (token,) = AutoTokenizer.from_pretrained(model)(TOKEN, add_special_tokens=False)["input_ids"]
    weights = load_file(directory / "model.safetensors")
    embedding = weights["model.embed_tokens.weight"]
    # the output layer must not share the bad row
    weights["lm_head.weight"] = torch.clone(embedding)
    embedding[token] = float("nan") if harm == "weight" else 0.0
    if harm == "loss":
        embedding[:, 0] = 0.0
        embedding[token, 0] = 1.0
        layer = "model.layers.0"
        weights[f"{layer}.input_layernorm.weight"][0] = torch.finfo(torch.float32).max
        for projection in "qkv":
            weights[f"{layer}.self_attn.{projection}_proj.weight"][:, 0] = 0.0
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    changes = {"tie_word_embeddings": False} | ({"rms_norm_eps": 1e-45} if harm == "gradient" else {})
    config = directory / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return directory
