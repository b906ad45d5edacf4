"""Carbon intensity of electricity, by region."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class CarbonIntensity:
    """Grams of CO₂ equivalent per kilowatt-hour of electricity, as an average over a year."""

    region: str
    grams_per_kwh: float
    source: str
    date: str


_CODECARBON: Final = "CodeCarbon 3.3.2, global_energy_mix.json (Our World in Data, after Ember)"
_WORLD: Final = "CodeCarbon 3.3.2, world_average (IEA)"
_EMBER: Final = "Ember, Global Electricity Review 2024: 657 Mt of CO2 for 2,690 TWh"

REFERENCE_REGION: Final = "world"
"""What stands in where nobody has said where the cluster is."""

_LOOKED_UP: Final = {
    "us": 370.0,
    "china": 580.0,
    "india": 715.0,
    "japan": 485.0,
    "australia": 550.0,
    "canada": 170.0,
    "brazil": 100.0,
    "uk": 240.0,
    "germany": 380.0,
    "france": 55.0,
    "netherlands": 270.0,
    "poland": 660.0,
    "spain": 175.0,
    "sweden": 40.0,
    "norway": 30.0,
    "switzerland": 35.0,
}

GRID: Final[dict[str, CarbonIntensity]] = {
    "world": CarbonIntensity("world", 475.0, _WORLD, "2019"),
    "eu": CarbonIntensity("eu", 245.0, _EMBER, "2023, rounded"),
    **{
        region: CarbonIntensity(region, grams, _CODECARBON, "2023, rounded")
        for region, grams in _LOOKED_UP.items()
    },
}
"""Rounded to 5 g: the year, imports and method move the value by more than that."""
