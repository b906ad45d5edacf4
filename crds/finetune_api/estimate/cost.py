"""Money, energy and carbon of a run."""

from dataclasses import dataclass
from typing import Final

from finetune_api.estimate.ranges import Range
from finetune_api.hardware import Accelerator, HardwareCatalog

LOAD: Final = Range(0.6, 0.8, 1.0)
"""Mean power of a device that trains, as a share of its board power."""
HOST_WATTS: Final = Range(50.0, 100.0, 200.0)
"""Power of CPU, memory and fans of the host, per device (CodeCarbon counts host power apart, too)."""
JOULES_PER_KWH: Final = 3.6e6


@dataclass(frozen=True)
class Cost:
    """What a run costs."""

    usd: Range | None
    """US dollars at the catalog's price; None where the catalog has none."""
    energy_kwh: Range
    """Energy drawn from the grid, in kilowatt-hours."""
    carbon_grams: Range
    """CO₂ equivalent, in grams."""
    pue: float
    """Power of the data centre over that of its computers, as it was taken."""
    grams_per_kwh: float
    """Intensity of the grid, as it was taken."""


def cost(seconds: Range, devices: int, accelerator: Accelerator, catalog: HardwareCatalog) -> Cost:
    """Cost of `devices` accelerators for so many seconds.

    Energy = devices × (load × board power + host) × time × PUE; carbon = energy × grid intensity (Lacoste et
    al. 2019; Strubell et al. 2019 for the form).
    """
    price = accelerator.price
    usd = seconds.map(lambda value: value / 3600 * devices * price.usd_per_hour) if price else None
    watts = Range(*(
        devices * catalog.pue * (load * accelerator.watts + host)
        for load, host in (
            (LOAD.low, HOST_WATTS.low), (LOAD.expected, HOST_WATTS.expected), (LOAD.high, HOST_WATTS.high)
        )
    ))  # fmt: skip
    energy = seconds.times(watts).map(lambda joules: joules / JOULES_PER_KWH)
    grid = catalog.carbon.grams_per_kwh
    return Cost(usd, energy, energy.map(lambda kwh: kwh * grid), catalog.pue, grid)
