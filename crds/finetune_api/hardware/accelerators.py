"""The accelerators of the catalog, from their makers' data sheets.

Throughput is dense (without sparsity), on matrix units, with 32-bit accumulation. `memory_gib` is what
programs get: what `nvidia-smi` shows as total (ECC on where it is the default), which is less than the
number on the box. Prices are what a single device usually costs on demand, for orientation: each says where
it is from; those that say so were written from memory. Administrators set their own.
"""

from dataclasses import dataclass
from typing import Final, Literal

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


TYPICAL_MULTIPROCESSORS: Final = 108
"""Those of an A100."""


@dataclass(frozen=True)
class Price:
    """What one device costs per hour, in US dollars, by whom and when."""

    usd_per_hour: float
    source: str
    date: str


@dataclass(frozen=True)
class Accelerator:
    """One kind of accelerator, by the numbers of one device."""

    name: str
    """Name in `resources.accelerators.type` and on the command line."""
    title: str
    memory_gib: float
    """Memory that programs can allocate, the CUDA context included, in GiB."""
    tflops: dict[Precision, float]
    """Dense peak throughput in 10¹² floating-point operations per second; what is absent is emulated or
    slow."""
    bandwidth_gbs: float
    """Memory bandwidth, in 10⁹ bytes per second."""
    watts: float
    """Board power at full load."""
    interconnect_gbs: float
    """Bandwidth to another device of the node, one way, in 10⁹ bytes per second (NVLink, else PCIe)."""
    price: Price | None = None
    multiprocessors: int = TYPICAL_MULTIPROCESSORS
    """Streaming multiprocessors (compute units), for each of which a context holds memory."""
    aliases: tuple[str, ...] = ()

    def supports(self, precision: Precision) -> bool:
        """Whether its matrix units compute in this precision."""
        return precision in self.tflops


def _peak(fp32: float, tf32: float, half: float) -> dict[Precision, float]:
    return {"fp32": fp32, "tf32": tf32, "bf16": half, "fp16": half}


def _list_price(usd_per_hour: float) -> Price:
    return Price(usd_per_hour, "usual on GPU clouds; written from memory, not looked up", "2025-06")


def _looked_up(usd_per_hour: float, source: str, date: str) -> Price:
    return Price(usd_per_hour, f"{source}, between specialised clouds and hyperscalers", date)


_MERCATUS: Final = "Mercatus, cloud GPU pricing across 22 providers"

ACCELERATORS: Final[tuple[Accelerator, ...]] = (
    Accelerator("b200", "NVIDIA B200 180 GB", 178.3, _peak(75, 1125, 2250),
                8000, 1000, 900, _list_price(5.99), 148, ("nvidia-b200",)),
    Accelerator("h200", "NVIDIA H200 SXM 141 GB", 139.8, _peak(67, 495, 989),
                4800, 700, 450, _looked_up(3.99, _MERCATUS, "2026-05"), 132,
                ("nvidia-h200", "h200-sxm", "h200-141gb")),
    Accelerator("h100-80gb", "NVIDIA H100 SXM 80 GB", 79.6, _peak(67, 495, 989),
                3350, 700, 450, _looked_up(2.99, _MERCATUS, "2026-05"), 132,
                ("h100", "nvidia-h100", "h100-sxm", "nvidia-h100-80gb-hbm3")),
    Accelerator("h100-pcie", "NVIDIA H100 PCIe 80 GB", 79.6, _peak(51, 378, 756),
                2000, 350, 64, _list_price(2.39), 114, ("nvidia-h100-pcie",)),
    Accelerator("a100-80gb", "NVIDIA A100 SXM 80 GB", 79.3, _peak(19.5, 156, 312),
                2039, 400, 300, _looked_up(1.79, _MERCATUS, "2026-05"), 108,
                ("a100", "nvidia-a100", "a100-sxm", "nvidia-a100-sxm4-80gb", "nvidia-a100-80gb-pcie",
                 "a100-80g")),
    Accelerator("a100-40gb", "NVIDIA A100 SXM 40 GB", 39.4, _peak(19.5, 156, 312),
                1555, 400, 300, _list_price(1.29), 108,
                ("nvidia-a100-sxm4-40gb", "nvidia-a100-pcie-40gb", "a100-40g")),
    Accelerator("l40s", "NVIDIA L40S 48 GB", 44.4, _peak(91.6, 183, 362),
                864, 350, 32, _list_price(0.79), 142, ("nvidia-l40s",)),
    Accelerator("l4", "NVIDIA L4 24 GB", 22.5, _peak(30.3, 60, 121),
                300, 72, 32, _list_price(0.43), 58, ("nvidia-l4",)),
    Accelerator("a6000", "NVIDIA RTX A6000 48 GB", 47.5, _peak(38.7, 77.4, 154.8),
                768, 300, 32, _list_price(0.49), 84, ("rtx-a6000", "nvidia-rtx-a6000")),
    Accelerator("a10g", "NVIDIA A10G 24 GB", 22.1, _peak(31.2, 35, 70),
                600, 300, 32,
                Price(1.006, "AWS g5.xlarge on demand, us-east-1", "2025-06"), 80, ("nvidia-a10g",)),
    Accelerator("rtx5090", "NVIDIA GeForce RTX 5090 32 GB", 31.8,
                _peak(104.8, 104.8, 209.5), 1792, 575, 64, _list_price(0.69), 170,
                ("rtx-5090", "nvidia-geforce-rtx-5090", "5090")),
    Accelerator("rtx4090", "NVIDIA GeForce RTX 4090 24 GB", 23.99,
                _peak(82.6, 82.6, 165.2), 1008, 450, 32,
                Price(0.34, "GPU Tracker, on demand", "2026-03"), 128,
                ("rtx-4090", "nvidia-geforce-rtx-4090", "4090")),
    Accelerator("rtx3090", "NVIDIA GeForce RTX 3090 24 GB", 23.7,
                _peak(35.6, 35.6, 71.2), 936, 350, 32, _list_price(0.22), 82,
                ("rtx-3090", "nvidia-geforce-rtx-3090", "3090")),
    Accelerator("t4", "NVIDIA T4 16 GB", 14.7, {"fp32": 8.1, "fp16": 65}, 300, 70, 16,
                Price(0.35, "Google Cloud on demand, us-central1", "2025-06"), 40,
                ("tesla-t4", "nvidia-tesla-t4")),
    Accelerator("v100-16gb", "NVIDIA V100 SXM2 16 GB", 15.8, {"fp32": 15.7, "fp16": 125}, 900, 300, 150,
                Price(3.06, "AWS p3.2xlarge on demand, us-east-1", "2025-06"), 80,
                ("tesla-v100-16gb", "tesla-v100-sxm2-16gb")),
    Accelerator("v100-32gb", "NVIDIA V100 SXM2 32 GB", 31.7, {"fp32": 15.7, "fp16": 125}, 900, 300, 150, None,
                80, ("v100", "tesla-v100", "tesla-v100-32gb", "tesla-v100-sxm2-32gb")),
    Accelerator("mi300x", "AMD Instinct MI300X 192 GB", 191.5,
                _peak(163.4, 653.7, 1307), 5300, 750, 448, _list_price(2.99), 304,
                ("amd-mi300x",)),
)  # fmt: skip


def normalised(name: str) -> str:
    """A name as the catalog writes it: lower case, with dashes."""
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def find_accelerator(name: str, accelerators: tuple[Accelerator, ...] = ACCELERATORS) -> Accelerator | None:
    """The accelerator of this name or alias, in any case, with blanks and underscores as dashes."""
    wanted = normalised(name)
    return next((item for item in accelerators if wanted == item.name or wanted in item.aliases), None)
