"""What a method starts from."""

from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.model.heads import LANGUAGE, Head


@dataclass(frozen=True)
class Start:
    """The weights before the first step."""

    base: str
    """Directory or hub id of the model that is loaded: the job's own, or a residual of it."""
    original: str
    """Directory or hub id of the job's own model, which the exported adapter is for."""
    adapter: Path | None = None
    """The adapter of the first step, where it was computed from the base's weights. Adapter and residual
    together are the original."""
    computed: Path | None = None
    """The adapter of the first step, where it was made beforehand and changes nothing yet."""
    layers: Path | None = None
    """The measured weights of the model, for spectrum."""
    head: Head = LANGUAGE
    """What stands on top of the model."""
