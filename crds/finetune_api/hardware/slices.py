"""Slices of a device (NVIDIA's Multi-Instance GPU), by the name of their resource: `nvidia.com/mig-1g.10gb`.

A name says how many of a device's compute slices (seven) and how much of its memory, which comes in eighths,
a slice has (NVIDIA, Multi-Instance GPU User Guide). Pure.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Self

from finetune_api.hardware.accelerators import Accelerator, Precision

COMPUTE_SLICES: Final = 7
MEMORY_SLICES: Final = 8
SLICED: Final = ("a100", "h100", "h200", "b200")
"""Names of the devices of the catalog that can be cut."""
USABLE: Final = 0.95
"""GiB that programs get of each GB in a slice's name: 9.5 of 10, and up to 2 % more in larger slices, which
is left out."""

_NAME: Final = re.compile(r"mig-(?P<compute>[1-7])g\.(?P<gigabytes>[1-9][0-9]{0,2})gb(?:[.+][a-z.]+)?\Z")


@dataclass(frozen=True)
class Slice:
    """A part of a device that is scheduled like a device."""

    name: str
    """As in `mig-1g.10gb`."""
    compute: int
    """Sevenths of the device's multiprocessors."""
    gigabytes: int
    """Memory, as the name gives it."""

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The slice of an extended resource, or of a product label that ends with it; None for anything
        else."""
        tail = name.lower()
        tail = tail[tail.rfind("mig-") :] if "mig-" in tail else tail
        found = _NAME.fullmatch(tail)
        return cls(tail, int(found["compute"]), int(found["gigabytes"])) if found else None

    @property
    def memory_gib(self) -> float:
        """Memory that programs get, in GiB."""
        return USABLE * self.gigabytes

    def cut_from(self, device: Accelerator) -> Accelerator:
        """This part of a device: its share of the multiprocessors, of their speed, power and price, and of
        the memory's bandwidth. Slices have no link to each other but the host's."""
        share = self.compute / COMPUTE_SLICES
        eighths = min(MEMORY_SLICES, max(1, round(MEMORY_SLICES * self.gigabytes / device.memory_gib)))
        tflops: dict[Precision, float] = {name: share * peak for name, peak in device.tflops.items()}
        price = device.price and replace(device.price, usd_per_hour=share * device.price.usd_per_hour)
        return replace(
            device,
            name=f"{device.name}-{self.name}",
            title=f"{device.title}, {self.name}",
            memory_gib=self.memory_gib,
            tflops=tflops,
            bandwidth_gbs=device.bandwidth_gbs * eighths / MEMORY_SLICES,
            watts=device.watts * share,
            interconnect_gbs=min(device.interconnect_gbs, 16.0),
            price=price,
            multiprocessors=max(1, round(device.multiprocessors * share)),
            aliases=(),
        )


def whole_device_of(part: Slice, accelerators: tuple[Accelerator, ...]) -> Accelerator | None:
    """The slowest device that such slices are cut from, where nobody says which: one whose seven compute
    slices and eight memory slices have this size. None where there is none."""
    fitting = [device for device in accelerators if _is_cut_like(part, device)]
    return min(fitting, key=lambda device: max(device.tflops.values()), default=None)


def _is_cut_like(part: Slice, device: Accelerator) -> bool:
    """Whether a slice of this name exists on a device: it has one, two, four or eight eighths of its memory,
    no fewer than compute slices and at most twice as many (1g.10gb, 1g.20gb, 3g.40gb and 7g.80gb of
    80 GB)."""
    if not device.name.startswith(SLICED):
        return False
    eighths = MEMORY_SLICES * part.gigabytes / device.memory_gib
    whole = round(eighths)
    exists = whole in (1, 2, 4, 8) and part.compute <= whole <= 2 * part.compute
    return exists and abs(eighths - whole) < 0.05 * whole
