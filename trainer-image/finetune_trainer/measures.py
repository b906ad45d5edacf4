"""Measures for a training loop: averages over a window, rates, gradient norm, memory of the GPU."""

import time
from collections import deque
from collections.abc import Callable, Mapping

import torch


class MetricsTracker:
    """The last values of some metrics, and how fast they come."""

    def __init__(self, window_size: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        """Averages are over `window_size` updates. Raises `ValueError` for less than one."""
        if window_size < 1:
            raise ValueError(f"window_size: {window_size} holds nothing. Use at least 1")
        self.window_size = window_size
        self._clock = clock
        self._values: dict[str, deque[float]] = {}
        self._times: deque[float] = deque([clock()], maxlen=window_size + 1)

    def update(self, metrics: Mapping[str, float]) -> None:
        """Takes in the metrics of one batch; they need not be the same each time."""
        for name, value in metrics.items():
            self._values.setdefault(name, deque(maxlen=self.window_size)).append(float(value))
        self._times.append(self._clock())

    def get_averages(self) -> dict[str, float]:
        """The mean of each metric's last values; empty before the first update."""
        return {name: sum(values) / len(values) for name, values in self._values.items()}

    def get_throughput(self, tokens_per_batch: int) -> dict[str, float]:
        """Batches and tokens per second over the window, one update counting as one batch; zeros before the
        first."""
        batches = len(self._times) - 1
        seconds = self._times[-1] - self._times[0]
        rate = batches / seconds if batches and seconds > 0 else 0.0
        return {"batches_per_second": rate, "tokens_per_second": rate * tokens_per_batch}

    def reset(self) -> None:
        """Forgets everything."""
        self._values.clear()
        self._times = deque([self._clock()], maxlen=self.window_size + 1)


def compute_gradient_norm(model: torch.nn.Module) -> float:
    """The L2 norm of all gradients taken together; 0 where no weight has one."""
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    if not gradients:
        return 0.0
    norms = [torch.linalg.vector_norm(gradient.detach().float()).cpu() for gradient in gradients]
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def get_gpu_memory_usage() -> dict[str, float]:
    """Memory of the current GPU in GiB: `allocated`, `reserved`, and `max_allocated` so far; zeros without
    one."""
    if not torch.cuda.is_available():
        return dict.fromkeys(("allocated", "reserved", "max_allocated"), 0.0)
    return {
        "allocated": torch.cuda.memory_allocated() / 2**30,
        "reserved": torch.cuda.memory_reserved() / 2**30,
        "max_allocated": torch.cuda.max_memory_allocated() / 2**30,
    }
