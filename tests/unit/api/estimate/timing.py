"""One row of a published table of times."""

from dataclasses import dataclass
from typing import Any

from finetune_api.estimate.program import TRAINER, Program


@dataclass(frozen=True)
class Timing:
    """One row of a published table."""

    group: str
    name: str
    changes: dict[str, Any]
    """The job, as values by field path."""
    seconds: float
    """Of one optimizer step."""
    length: float
    """Tokens of a sequence, on average."""
    accelerator: str
    program: Program = TRAINER
    family: str | None = None
    """Family of the architecture, where the API has no name for it."""
    network_gbs: float | None = None
    """What a node sends to the others, where the table says it."""
