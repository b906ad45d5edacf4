"""Accelerators, their prices and the carbon of the grid: what estimates need to know of the hardware."""

from finetune_api.hardware.accelerators import (
    ACCELERATORS,
    TYPICAL_MULTIPROCESSORS,
    TYPICAL_THREADS,
    Accelerator,
    Precision,
    Price,
    find_accelerator,
)
from finetune_api.hardware.grid import GRID, REFERENCE_REGION, CarbonIntensity
from finetune_api.hardware.nodes import (
    NodeAccelerators,
    accelerator_for,
    accelerators_on,
    largest_for,
    named_accelerator,
)
from finetune_api.hardware.overrides import HardwareCatalog, HardwareOverrideError, parse_overrides

__all__ = [
    "ACCELERATORS",
    "GRID",
    "REFERENCE_REGION",
    "TYPICAL_MULTIPROCESSORS",
    "TYPICAL_THREADS",
    "Accelerator",
    "CarbonIntensity",
    "HardwareCatalog",
    "HardwareOverrideError",
    "NodeAccelerators",
    "Precision",
    "Price",
    "accelerator_for",
    "accelerators_on",
    "find_accelerator",
    "largest_for",
    "named_accelerator",
    "parse_overrides",
]
