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
ROUNDING: Final = 0.05
"""By how much a size in a name may differ from so many eighths: names are rounded up to whole GB."""

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

    def eighths_of(self, device: Accelerator) -> int | None:
        """How many eighths of a device's memory this is; None where the device has no slices of this size."""
        eighths = MEMORY_SLICES * self.gigabytes / device.memory_gib
        whole = round(eighths)
        exists = whole in (1, 2, 4, 8) and abs(eighths - whole) < ROUNDING * whole
        return whole if exists else None

    def cut_from(self, device: Accelerator) -> Accelerator:
        """This part of a device: its share of the multiprocessors, of their speed, power and price, and of
        the memory and its bandwidth. Slices have no link to each other but the host's.

        The memory is an upper bound, since jobs are refused by it: whole eighths, of which `nvidia-smi mig
        -lgip` shows up to 2 % less on an H100 (9.75, 19.62, 39.5 and 79.25 GiB), or what the name says where
        the device has no such slices.
        """
        share = self.compute / COMPUTE_SLICES
        eighths = self.eighths_of(device)
        memory = self.gigabytes if eighths is None else device.memory_gib * eighths / MEMORY_SLICES
        memory_share = min(1.0, memory / device.memory_gib)
        tflops: dict[Precision, float] = {name: share * peak for name, peak in device.tflops.items()}
        price = device.price and replace(device.price, usd_per_hour=share * device.price.usd_per_hour)
        return replace(
            device,
            name=f"{device.name}-{self.name}",
            title=f"{device.title}, {self.name}",
            memory_gib=memory,
            tflops=tflops,
            bandwidth_gbs=device.bandwidth_gbs * memory_share,
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
    eighths = part.eighths_of(device)
    return eighths is not None and part.compute <= eighths <= 2 * part.compute
