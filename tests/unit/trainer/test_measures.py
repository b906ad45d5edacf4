"""What a training loop of one's own can measure."""

import math

import pytest
import torch

from finetune_trainer.metrics import (
    MetricsTracker,
    compute_gradient_norm,
    compute_perplexity,
    get_gpu_memory_usage,
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_averages_are_over_the_window() -> None:
    tracker = MetricsTracker(window_size=2)
    assert tracker.get_averages() == {}
    for loss in (9.0, 2.0, 4.0):
        tracker.update({"loss": loss})
    tracker.update({"lr": 0.5})
    assert tracker.get_averages() == {"loss": 3.0, "lr": 0.5}
    tracker.reset()
    assert tracker.get_averages() == {}


def test_throughput_is_what_came_in_the_window() -> None:
    clock = Clock()
    tracker = MetricsTracker(window_size=4, clock=clock)
    assert tracker.get_throughput(tokens_per_batch=4096)["tokens_per_second"] == 0.0
    for seconds in (10.0, 10.5, 11.0, 11.5, 12.0):
        clock.now = seconds
        tracker.update({"loss": 1.0})
    throughput = tracker.get_throughput(tokens_per_batch=4096)
    assert throughput == {"batches_per_second": 2.0, "tokens_per_second": 8192.0}


def test_a_window_holds_something() -> None:
    with pytest.raises(ValueError, match="window_size: 0"):
        MetricsTracker(window_size=0)


def test_perplexity_is_e_to_the_loss() -> None:
    assert compute_perplexity(2.0) == pytest.approx(math.e**2)


def test_the_gradient_norm_is_that_of_all_gradients_together() -> None:
    model = torch.nn.Linear(2, 1)
    assert compute_gradient_norm(model) == 0.0
    model(torch.tensor([3.0, 4.0])).backward()
    assert compute_gradient_norm(model) == pytest.approx(math.sqrt(3**2 + 4**2 + 1**2))


def test_memory_is_told_without_a_gpu_too() -> None:
    usage = get_gpu_memory_usage()
    assert set(usage) == {"allocated", "reserved", "max_allocated"}
    if not torch.cuda.is_available():
        assert set(usage.values()) == {0.0}
