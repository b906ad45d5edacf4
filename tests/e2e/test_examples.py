"""The examples are applied as they are, and end as their comments say.

`pretrain-from-scratch` and `lora-dates` are what `make demo` runs, `full-zero2-multinode` is in
`test_training`, and `gpu-lora-8b` needs accelerators.
"""

from __future__ import annotations

import pytest

from live import Job


@pytest.mark.parametrize("example", ["csv-columns", "lora-zero3"], indirect=True)
def test_an_example_trains_and_leaves_a_model_that_was_loaded_again(example: Job) -> None:
    status = example.await_condition("Complete", 240)

    assert status["progress"]["percent"] == 100
    assert status["output"]["verified"] is True
    assert status["checkpoints"]["latest"]["complete"] is True
    assert float(status["metrics"]["loss"]) > 0


@pytest.mark.parametrize("example", ["stock-transformers-script"], indirect=True)
def test_a_stock_transformers_script_reports_through_the_protocol(example: Job) -> None:
    status = example.await_condition("Complete", 180)

    assert status["progress"]["percent"] == 100
    assert float(status["metrics"]["loss"]) > 0
