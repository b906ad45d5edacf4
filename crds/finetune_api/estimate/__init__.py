"""What a job needs before it runs: memory, steps, time, money, energy, carbon. See `docs/estimates.md`."""

from finetune_api.estimate.automatic import Decided, automatic, decided, suggested
from finetune_api.estimate.estimate import Estimate, estimate
from finetune_api.estimate.fit import Fit, nearest_fit, propose_fit
from finetune_api.estimate.memory import GIB, Memory, MemoryParts, memory
from finetune_api.estimate.ranges import Range
from finetune_api.estimate.setup import Setup, UnknownArchitectureError, setup_for
from finetune_api.estimate.steps import Steps, steps

__all__ = [
    "GIB",
    "Decided",
    "Estimate",
    "Fit",
    "Memory",
    "MemoryParts",
    "Range",
    "Setup",
    "Steps",
    "UnknownArchitectureError",
    "automatic",
    "decided",
    "estimate",
    "memory",
    "nearest_fit",
    "propose_fit",
    "setup_for",
    "steps",
    "suggested",
]
