"""What administrators know better: prices, power, carbon, and accelerators of their own, as a ConfigMap.

data:
  hardware.yaml: |
    region: germany
    pue: 1.2
    carbonGramsPerKWh: 320
    accelerators:
    - name: h100-80gb
      usdPerHour: 2.10
    - name: house-gpu
      memoryGiB: 64
      tflops: {bf16: 200, fp16: 200, fp32: 50}
      bandwidthGBs: 1500
      watts: 350
      interconnectGBs: 64
      aliases: [house-gpu-64gb]
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel
from finetune_api.hardware.accelerators import (
    ACCELERATORS,
    TYPICAL_MULTIPROCESSORS,
    TYPICAL_SUSTAINED,
    Accelerator,
    Precision,
    Price,
    find_accelerator,
    normalised,
)
from finetune_api.hardware.grid import GRID, REFERENCE_REGION, CarbonIntensity

DEFAULT_PUE: Final = 1.58
"""Power usage effectiveness of an average data centre (Uptime Institute, Intelligence Update 221
of 2023-11-23: 1.58 in 2023; its survey of 2024 says 1.56)."""

_Positive = Annotated[float, Field(gt=0, le=1e9)]


class HardwareOverrideError(ValueError):
    """An administrator's hardware list that can't be used; the text names the field and the remedy."""


class _AcceleratorOverride(ApiModel):
    """One accelerator: changed where the catalog has it, else new."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = (
        Field(description="Name of the accelerator.")
    )
    title: str | None = Field(default=None, description="Name for people.")
    memory_gib: _Positive | None = Field(
        default=None, alias="memoryGiB", description="Memory that programs get, in GiB."
    )
    tflops: dict[Precision, _Positive] | None = Field(
        default=None, description="Dense peak in 10¹² operations per second, by precision."
    )
    bandwidth_gbs: _Positive | None = Field(
        default=None, alias="bandwidthGBs", description="Memory bandwidth, in GB/s."
    )
    watts: _Positive | None = Field(default=None, description="Board power at full load.")
    interconnect_gbs: _Positive | None = Field(
        default=None, alias="interconnectGBs", description="Bandwidth to another device, one way, in GB/s."
    )
    network_gbs: _Positive | None = Field(
        default=None,
        alias="networkGBs",
        description="Bandwidth of one node to the others, one way, in GB/s; an eighth of its Gb/s.",
    )
    multiprocessors: Annotated[int, Field(gt=0, le=10_000)] | None = Field(
        default=None, description="Streaming multiprocessors; 108 when absent."
    )
    sustained: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share of the peak that the best matrix product reaches; 0.8 when absent."
    )
    aliases: list[Annotated[str, Field(min_length=1, max_length=63)]] = Field(
        default=[],
        max_length=16,
        description="Other names, such as the node label nvidia.com/gpu.product in lower case.",
    )
    usd_per_hour: Annotated[float, Field(ge=0, le=1e6)] | None = Field(
        default=None, description="Price of one device and hour, in US dollars."
    )


class _Overrides(ApiModel):
    """The whole list."""

    region: str | None = Field(default=None, description="Region of the grid; the world's mean when absent.")
    pue: Annotated[float, Field(ge=1, le=5)] = Field(
        default=DEFAULT_PUE, description="Power of the whole data centre over that of its computers."
    )
    carbon_grams_per_kwh: Annotated[float, Field(ge=0, le=5000)] | None = Field(
        default=None, alias="carbonGramsPerKWh", description="Carbon intensity; the region's when absent."
    )
    accelerators: list[_AcceleratorOverride] = Field(
        default=[], description="Accelerators to change or to add."
    )


@dataclass(frozen=True)
class HardwareCatalog:
    """The accelerators, the grid and the data centre that estimates are made for."""

    accelerators: tuple[Accelerator, ...] = ACCELERATORS
    carbon: CarbonIntensity = GRID[REFERENCE_REGION]
    pue: float = DEFAULT_PUE
    """Power of the whole data centre over that of its computers."""

    def find(self, name: str) -> Accelerator | None:
        """The accelerator of this name or alias."""
        return find_accelerator(name, self.accelerators)


def parse_overrides(payload: Mapping[str, Any]) -> HardwareCatalog:
    """The catalog with an administrator's list over it. Pure: `payload` is the parsed text of the ConfigMap.

    Raises `HardwareOverrideError` for fields that do not exist, values out of range, an unknown region, and a
    new accelerator without all its numbers.
    """
    try:
        overrides = _Overrides.from_json_object(payload)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        value = repr(first["input"])[:80]
        raise HardwareOverrideError(
            f"hardware.{path}: {value}: {first['msg']}. Correct or remove it; docs/estimates.md has the form."
        ) from None
    accelerators = {item.name: item for item in ACCELERATORS}
    for override in overrides.accelerators:
        known = find_accelerator(override.name)
        changed = _changed(known, override) if known else _new(override)
        accelerators[changed.name] = changed
    return HardwareCatalog(tuple(accelerators.values()), _carbon(overrides), overrides.pue)


def _changed(known: Accelerator, override: _AcceleratorOverride) -> Accelerator:
    return replace(
        known,
        title=override.title or known.title,
        memory_gib=override.memory_gib or known.memory_gib,
        tflops=known.tflops | (override.tflops or {}),
        bandwidth_gbs=override.bandwidth_gbs or known.bandwidth_gbs,
        watts=override.watts or known.watts,
        interconnect_gbs=override.interconnect_gbs or known.interconnect_gbs,
        network_gbs=override.network_gbs or known.network_gbs,
        multiprocessors=override.multiprocessors or known.multiprocessors,
        sustained=override.sustained or known.sustained,
        aliases=(*known.aliases, *_names(override)),
        price=known.price if override.usd_per_hour is None else _own_price(override.usd_per_hour),
    )


def _new(override: _AcceleratorOverride) -> Accelerator:
    memory, tflops, bandwidth = override.memory_gib, override.tflops, override.bandwidth_gbs
    watts, interconnect = override.watts, override.interconnect_gbs
    if memory is None or not tflops or bandwidth is None or watts is None or interconnect is None:
        raise HardwareOverrideError(
            f"hardware.accelerators: {override.name} is not in the catalog, so it needs memoryGiB, tflops, "
            "bandwidthGBs, watts and interconnectGBs. Add them, or use a name of `finetune hardware`."
        )
    price = None if override.usd_per_hour is None else _own_price(override.usd_per_hour)
    title = override.title or override.name
    return Accelerator(
        override.name,
        title,
        memory,
        tflops,
        bandwidth,
        watts,
        interconnect,
        price,
        override.multiprocessors or TYPICAL_MULTIPROCESSORS,
        _names(override),
        sustained=override.sustained or TYPICAL_SUSTAINED,
        network_gbs=override.network_gbs,
    )


def _names(override: _AcceleratorOverride) -> tuple[str, ...]:
    return tuple(normalised(alias) for alias in override.aliases)


def _own_price(usd_per_hour: float) -> Price:
    return Price(usd_per_hour, "the administrator's hardware list", "as configured")


def _carbon(overrides: _Overrides) -> CarbonIntensity:
    region = overrides.region or REFERENCE_REGION
    if overrides.carbon_grams_per_kwh is not None:
        own = "the administrator's hardware list"
        return CarbonIntensity(region, overrides.carbon_grams_per_kwh, own, "as configured")
    if region not in GRID:
        raise HardwareOverrideError(
            f"hardware.region: {region} is not known. Use one of {', '.join(GRID)}, or set carbonGramsPerKWh."
        )
    return GRID[region]
