"""Accelerators, their prices and the carbon of the grid: what estimates need to know of the hardware."""

from finetune_api.hardware.accelerators import ACCELERATORS, Accelerator, Precision, Price, find_accelerator
from finetune_api.hardware.grid import GRID, REFERENCE_REGION, CarbonIntensity
from finetune_api.hardware.overrides import HardwareCatalog, HardwareOverrideError, parse_overrides

__all__ = [
    "ACCELERATORS",
    "GRID",
    "REFERENCE_REGION",
    "Accelerator",
    "CarbonIntensity",
    "HardwareCatalog",
    "HardwareOverrideError",
    "Precision",
    "Price",
    "find_accelerator",
    "parse_overrides",
]
