"""What a checkpoint says of itself: `manifest.json`, written last."""

import json
import re
from datetime import datetime
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from finetune_trainer.data.fingerprint import Fingerprint
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.files import FileEntry
from finetune_trainer.paths import volume_path

MANIFEST = "manifest.json"
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "deepspeed", "bitsandbytes", "numpy")
"""What a step is computed with; numpy makes the order of the data."""
VERSION = 1
"""Of the manifest. Raise it when an older trainer would take a checkpoint for something that it is not."""
RANDOM_STATES = re.compile(r"rng_state(_\d+)?\.pth")


class Manifest(BaseModel):
    """What a checkpoint is, and what its files must hold.

    `step` is the position in the data too, whose order is a function of seed and step (`data/sampling.py`);
    the random states of all ranks are files of their own (`rng_state*.pth`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = VERSION
    job: str
    job_uid: str
    attempt: int
    lineage: str
    step: int
    epoch: float
    world_size: int
    zero_stage: int
    deepspeed: bool
    offload: bool = False
    """Whether DeepSpeed kept the optimizer in host memory, where it has one of its own."""
    time: datetime
    metric: str | None = None
    value: float | None = None
    data: Fingerprint | None = None
    """Of what the run learns from; None where nobody looked."""
    device: str | None = None
    micro_batch: int | None = None
    """Sequences that one rank computes at once."""
    approximate: tuple[str, ...] = ()
    """Why the weights are not what a run without interruptions would have, one reason for each attempt that
    did not go on exactly."""
    libraries: dict[str, str] = {}
    files: list[FileEntry] = []

    @property
    def bytes(self) -> int:
        """Size of all files, the manifest not counted."""
        return sum(entry.bytes for entry in self.files)

    @property
    def name(self) -> str:
        """Of the directory of a checkpoint of this step."""
        return f"step-{self.step:08d}"

    def flaw(self, directory: str) -> str | None:
        """Why this cannot be the manifest of a whole checkpoint in a directory of this name, in words; None
        when it can. Random states are of all ranks or, from loops that keep none, of no rank."""
        if self.name != directory:
            return f"its manifest is of {self.name}"
        if not self.files:
            return "its manifest names no files"
        states = sum(RANDOM_STATES.fullmatch(entry.path) is not None for entry in self.files)
        if 0 < states < self.world_size:
            return f"it holds the random states of {states} of {self.world_size} ranks"
        return None


def refuse_newer(checkpoint: Path) -> None:
    """Raises `InvalidConfigError` where the manifest in a directory is of a version that this trainer does
    not know."""
    try:
        version = json.loads((checkpoint / MANIFEST).read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if isinstance(version, int) and version > VERSION:
        raise InvalidConfigError(
            f"checkpoints: {volume_path(checkpoint)} was written by a newer trainer (manifest version "
            f"{version}; this one knows {VERSION}). Use that trainer's image, or checkpoints.resume: never"
        )


@cache
def library_versions() -> dict[str, str]:
    """What a checkpoint was written with."""
    return {name: installed(name) for name in LIBRARIES}
