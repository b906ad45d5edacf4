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


_EMBER: Final = "after Ember's yearly data; written from memory, not looked up"

REFERENCE_REGION: Final = "world"
"""What stands in where nobody has said where the cluster is."""

GRID: Final[dict[str, CarbonIntensity]] = {
    region: CarbonIntensity(region, grams, _EMBER, "2024, rounded")
    for region, grams in (
        ("world", 475.0),
        ("eu", 215.0),
        ("us", 385.0),
        ("china", 560.0),
        ("india", 710.0),
        ("japan", 480.0),
        ("australia", 550.0),
        ("canada", 175.0),
        ("brazil", 105.0),
        ("uk", 210.0),
        ("germany", 345.0),
        ("france", 45.0),
        ("netherlands", 255.0),
        ("poland", 615.0),
        ("spain", 145.0),
        ("sweden", 35.0),
        ("norway", 30.0),
        ("switzerland", 40.0),
    )
}
"""Rounded to 5 g: the year, imports and method move the value by more than that."""
