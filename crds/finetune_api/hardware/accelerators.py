"""The accelerators of the catalog, from their makers' data sheets.

Throughput is dense (without sparsity), on matrix units, with 32-bit accumulation. `memory_gib` is what
programs get: what `nvidia-smi` shows as total (ECC on where it is the default), which is less than the
number on the box. Prices are what a single device costs on demand, for orientation: each says whose and when;
one that is assumed says so. Administrators set their own.
"""

from dataclasses import dataclass
from typing import Final, Literal

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


TYPICAL_MULTIPROCESSORS: Final = 108
"""Those of an A100."""

TYPICAL_THREADS: Final = 2048
"""Threads that a multiprocessor of a data center's device holds at once (CUDA C++ Programming Guide,
technical specifications by compute capability: 1024 of 7.5, 1536 of 8.6, 8.9 and 12.0)."""

TYPICAL_SUSTAINED: Final = 0.8
"""Share of the peak that the best matrix product reaches, where nobody has measured it: the middle of those
that Bekman measured on NVIDIA's devices."""


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
    """Streaming multiprocessors (compute units)."""
    aliases: tuple[str, ...] = ()
    threads: int = TYPICAL_THREADS
    """Threads that one multiprocessor holds at once, for each of which a context holds memory."""
    sustained: float = TYPICAL_SUSTAINED
    """Share of the peak that a long, best-shaped matrix product on the matrix units reaches: the clock of the
    peak does not hold at full load."""
    sustained_fp32: float = TYPICAL_SUSTAINED
    """The same for fp32 outside of the matrix units."""
    attention_share: float = 0.6
    """Speed of fused attention over that of the best matrix product."""
    network_gbs: float | None = None
    """Bandwidth of one node with these devices to the others, one way, in 10⁹ bytes per second; None where
    nobody has said."""

    @property
    def resident_threads(self) -> int:
        """Threads that the device holds at once."""
        return self.multiprocessors * self.threads

    def sustained_flops(self, precision: Precision) -> float:
        """Floating-point operations per second of a long, best-shaped matrix product; at the slowest
        precision that is known where this one is emulated."""
        used = precision if self.supports(precision) else min(self.tflops, key=lambda name: self.tflops[name])
        share = self.sustained_fp32 if used == "fp32" else self.sustained
        return 1e12 * share * self.tflops[used]

    def supports(self, precision: Precision) -> bool:
        """Whether its matrix units compute in this precision."""
        return precision in self.tflops


def _peak(fp32: float, tf32: float, half: float) -> dict[Precision, float]:
    return {"fp32": fp32, "tf32": tf32, "bf16": half, "fp16": half}


_MERCATUS: Final = "Mercatus, middle of 22 cloud providers"
_RUNPOD: Final = "RunPod, Secure Cloud, on demand"
_MODAL: Final = "Modal, serverless, as read by techbytes.app"
_AKASH: Final = "Akash Network, lowest offer"

_BEKMAN: Final = {"a100": 0.869, "h100": 0.803, "b200": 0.776, "mi300x": 0.514}
"""Best bf16 product over the data sheet's peak (Bekman, Machine Learning Engineering Open Book, maximum
achievable matmul FLOPS, read in 2026-11); his H200 is as fast as his H100."""
_BEST_SHAPES: Final = {"h100-pcie": 499.5 / 756, "l40s": 252 / 362, "a10g": 69.7 / 70}
"""The same, searched with his program by others (mag-/gpu_benchmark, README, read in 2026-11), who find 0.86
for an A100 and 0.80 for an H100."""
_GEFORCE_SUSTAINED: Final = 1.0
"""GeForce boards hold a higher clock than their data sheets say: 78 TFLOPS of 71 on an RTX 3090, 178 of 165
on a 4090 (mag-/gpu_benchmark), 254 of 210 on a 5090 (xzwgit/gpu-flops-bench). The peak is taken."""
_V100_SUSTAINED: Final = 95 / 125
"""Products of 16 bit in mli/transformers-benchmarks, README."""
_T4_SUSTAINED: Final = 24 / 65
"""24 TFLOPS in products of 4096 x 4096 (NVIDIA developer forum, topic 264462): the board's 70 W hold the
clock of its base, 585 of 1590 MHz."""
_T4_SUSTAINED_FP32: Final = 0.5
"""Assumed from power: 70 W at the 17 pJ per operation that a V100 of the same process takes in fp32."""
_L4_SUSTAINED: Final = 0.5
"""Assumed: 72 W for the silicon of a board of 300 W; its base clock is 0.39 of its boost clock."""
_HOPPER_ATTENTION: Final = 0.38
"""PyTorch's fused attention lacks Hopper's matrix instructions: 300 TFLOPS forward (pytorch/benchmark, pull
request 2296) of 794 in the best product; FlashAttention-3's authors put its predecessor at 35 % of peak."""

ACCELERATORS: Final[tuple[Accelerator, ...]] = (
    Accelerator("b200", "NVIDIA B200 180 GB", 178.3, _peak(75, 1125, 2250),
                8000, 1000, 900, Price(6.79, _RUNPOD, "2026-08-19"), 148, ("nvidia-b200",),
                sustained=_BEKMAN["b200"], attention_share=_HOPPER_ATTENTION),
    Accelerator("h200", "NVIDIA H200 SXM 141 GB", 139.8, _peak(67, 495, 989),
                4800, 700, 450, Price(3.99, _MERCATUS, "2026-05"), 132,
                ("nvidia-h200", "h200-sxm", "h200-141gb"),
                sustained=_BEKMAN["h100"], attention_share=_HOPPER_ATTENTION),
    Accelerator("h100-80gb", "NVIDIA H100 SXM 80 GB", 79.6, _peak(67, 495, 989),
                3350, 700, 450, Price(2.99, _MERCATUS, "2026-05"), 132,
                ("h100", "nvidia-h100", "h100-sxm", "nvidia-h100-80gb-hbm3"),
                sustained=_BEKMAN["h100"], attention_share=_HOPPER_ATTENTION),
    Accelerator("h100-pcie", "NVIDIA H100 PCIe 80 GB", 79.6, _peak(51, 378, 756),
                2000, 350, 64, Price(2.89, _RUNPOD, "2026-11-09"), 114, ("nvidia-h100-pcie",),
                sustained=_BEST_SHAPES["h100-pcie"], attention_share=_HOPPER_ATTENTION),
    Accelerator("a100-80gb", "NVIDIA A100 SXM 80 GB", 79.3, _peak(19.5, 156, 312),
                2039, 400, 300, Price(1.79, _MERCATUS, "2026-05"), 108,
                ("a100", "nvidia-a100", "a100-sxm", "nvidia-a100-sxm4-80gb", "nvidia-a100-80gb-pcie",
                 "a100-80g"), sustained=_BEKMAN["a100"]),
    Accelerator("a100-40gb", "NVIDIA A100 SXM 40 GB", 39.4, _peak(19.5, 156, 312),
                1555, 400, 300, Price(1.99, "Lambda, on demand", "2026-11-09"), 108,
                ("nvidia-a100-sxm4-40gb", "nvidia-a100-pcie-40gb", "a100-40g"),
                sustained=_BEKMAN["a100"]),
    Accelerator("l40s", "NVIDIA L40S 48 GB", 44.4, _peak(91.6, 183, 362),
                864, 350, 32, Price(1.95, _MODAL, "2026-05-07"), 142, ("nvidia-l40s",),
                sustained=_BEST_SHAPES["l40s"], threads=1536),
    Accelerator("l4", "NVIDIA L4 24 GB", 22.5, _peak(30.3, 60, 121),
                300, 72, 32, Price(0.80, _MODAL, "2026-05-07"), 58, ("nvidia-l4",),
                sustained=_L4_SUSTAINED, threads=1536),
    Accelerator("a6000", "NVIDIA RTX A6000 48 GB", 47.5, _peak(38.7, 77.4, 154.8),
                768, 300, 32, Price(0.82, "Verda, on demand", "2026-10-29"), 84,
                ("rtx-a6000", "nvidia-rtx-a6000"), threads=1536),
    Accelerator("a10g", "NVIDIA A10G 24 GB", 22.1, _peak(31.2, 35, 70),
                600, 300, 32, Price(1.006, "assumed: AWS g5.xlarge on demand, from memory", "2025-06"), 80,
                ("nvidia-a10g",), sustained=_BEST_SHAPES["a10g"], threads=1536),
    Accelerator("rtx5090", "NVIDIA GeForce RTX 5090 32 GB", 31.8,
                _peak(104.8, 104.8, 209.5), 1792, 575, 64, Price(0.67, _AKASH, "2026-09-20"), 170,
                ("rtx-5090", "nvidia-geforce-rtx-5090", "5090"),
                sustained=_GEFORCE_SUSTAINED, threads=1536),
    Accelerator("rtx4090", "NVIDIA GeForce RTX 4090 24 GB", 23.99,
                _peak(82.6, 82.6, 165.2), 1008, 450, 32, Price(0.39, _AKASH, "2026-09-20"), 128,
                ("rtx-4090", "nvidia-geforce-rtx-4090", "4090"),
                sustained=_GEFORCE_SUSTAINED, threads=1536),
    Accelerator("rtx3090", "NVIDIA GeForce RTX 3090 24 GB", 23.7,
                _peak(35.6, 35.6, 71.2), 936, 350, 32, Price(0.16, _AKASH, "2026-09-20"), 82,
                ("rtx-3090", "nvidia-geforce-rtx-3090", "3090"),
                sustained=_GEFORCE_SUSTAINED, threads=1536),
    Accelerator("t4", "NVIDIA T4 16 GB", 14.7, {"fp32": 8.1, "fp16": 65}, 300, 70, 16,
                Price(0.59, _MODAL, "2026-05-07"), 40, ("tesla-t4", "nvidia-tesla-t4"),
                threads=1024, sustained=_T4_SUSTAINED, sustained_fp32=_T4_SUSTAINED_FP32),
    Accelerator("v100-16gb", "NVIDIA V100 SXM2 16 GB", 15.8, {"fp32": 15.7, "fp16": 125}, 900, 300, 150,
                Price(0.36, _AKASH, "2026-09-20"), 80, ("tesla-v100-16gb", "tesla-v100-sxm2-16gb"),
                sustained=_V100_SUSTAINED),
    Accelerator("v100-32gb", "NVIDIA V100 SXM2 32 GB", 31.7, {"fp32": 15.7, "fp16": 125}, 900, 300, 150, None,
                80, ("v100", "tesla-v100", "tesla-v100-32gb", "tesla-v100-sxm2-32gb"),
                sustained=_V100_SUSTAINED),
    Accelerator("mi300x", "AMD Instinct MI300X 192 GB", 191.5,
                _peak(163.4, 653.7, 1307), 5300, 750, 448,
                Price(1.99, "median of clouds, Cliff Center research note", "2026-05-18"), 304,
                ("amd-mi300x",), sustained=_BEKMAN["mi300x"]),
)  # fmt: skip


def normalised(name: str) -> str:
    """A name as the catalog writes it: lower case, with dashes."""
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def find_accelerator(name: str, accelerators: tuple[Accelerator, ...] = ACCELERATORS) -> Accelerator | None:
    """The accelerator of this name or alias, in any case, with blanks and underscores as dashes."""
    wanted = normalised(name)
    return next((item for item in accelerators if wanted == item.name or wanted in item.aliases), None)
