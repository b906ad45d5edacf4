"""What is expected after a run was measured."""

from finetune_api.estimate import memory, setup_for
from finetune_api.estimate.measured import Measured, expected_after
from finetune_api.estimate.memory import GIB
from finetune_api.hardware import HardwareCatalog

SMALL = {"model.id": "meta-llama/Llama-3.2-1B", "method.type": "full"}


def test_what_torch_does_not_hold_is_added_to_its_peak(job, a100):
    """Paged states are managed memory, which torch does not count."""
    measured = Measured(20, 100, 1000, 1000, 10 * GIB)
    beyond = {}
    for optimizer in ("adamw", "pagedAdamw"):
        changed = job(SMALL | {"training.optimizer": optimizer})
        parts = memory(setup_for(changed, a100)).parts
        held = expected_after(changed, measured, a100, HardwareCatalog()).memory
        beyond[optimizer] = held - measured.peak_memory - parts.overhead
    assert beyond == {"adamw": 0, "pagedAdamw": 8 * 1_235_814_400}
