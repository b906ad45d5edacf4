"""What both trainers train: a Llama of 3 M parameters, a tokenizer of 4,096 tokens, and records of Python's
standard library whose lengths are drawn as a scenario wants them."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finetune_api import ResolvedJob, parse_job, resolve
from finetune_api.model import ArchitectureSpec, TokenizerTrainSpec

Lengths = Literal["log-normal", "uniform", "long"]

SEED = 7
CHARACTERS_PER_TOKEN = 3.0
"""Roughly, of this tokenizer on this text."""

LENGTHS: dict[Lengths, tuple[float, float, int]] = {
    "log-normal": (150.0, 0.9, 1024),
    "uniform": (250.0, 0.0, 256),
    "long": (2040.0, 0.0, 2048),
}
"""Median and sigma of the logarithm, in tokens before the cut, and where records are cut."""


def standard_library() -> str:
    """Source text, every run of white space as one blank: 4 MB of it."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    words = " ".join(file.read_text(encoding="utf-8", errors="replace") for file in files).split()
    return " ".join(words)[: 4 << 20]


def make_model(directory: Path) -> Path:
    """The model and its tokenizer, in a directory."""
    from finetune_trainer.model.models import create_base
    from finetune_trainer.model.tokenizers import train_tokenizer

    text = standard_library()
    pieces = [text[start : start + 2000] for start in range(0, 1 << 20, 2000)]
    tokenizer = train_tokenizer(pieces, TokenizerTrainSpec(vocab_size=4096))
    architecture = ArchitectureSpec(
        hidden_size=192, layers=4, attention_heads=6, key_value_heads=6, max_position_embeddings=2048
    )
    create_base(architecture, tokenizer, directory, SEED)
    return directory


def write_records(file: Path, lengths: Lengths, count: int) -> Path:
    """Records of two halves, of which the second is supervised. The last length is the longest there is."""
    median, sigma, longest = LENGTHS[lengths]
    random = np.random.default_rng(SEED)
    drawn = np.minimum(median * np.exp(sigma * random.standard_normal(count)), longest - 24)
    text = standard_library()
    with file.open("w", encoding="utf-8") as out:
        for tokens in drawn:
            characters = max(16, int(tokens * CHARACTERS_PER_TOKEN))
            start = int(random.integers(0, len(text) - characters))
            half = start + characters // 2
            record = {"instruction": text[start:half], "output": text[half : start + characters]}
            out.write(json.dumps(record) + "\n")
    return file


def make_job(spec: dict[str, Any], run_directory: Path) -> ResolvedJob:
    """The job as a rank gets it, on CPU."""
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "bench"},
        "spec": spec,
    }
    return resolve(
        parse_job(manifest), 1, run_directory=str(run_directory), master_address="127.0.0.1", device="cpu"
    )
