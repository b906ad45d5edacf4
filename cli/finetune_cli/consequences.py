"""What a change of a field leads to, in a sentence: for `finetune compare`."""

from collections.abc import Mapping
from typing import Any, Final

GROWTH: Final[Mapping[str, tuple[str, str]]] = {
    "training.learningRate": (
        "Learns faster, and may become unstable.",
        "Learns more slowly and more steadily.",
    ),
    "training.epochs": ("Trains longer, and may overfit.", "Trains for a shorter time, and may underfit."),
    "training.maxSteps": ("Trains longer.", "Trains for a shorter time."),
    "training.microBatchSize": (
        "Needs more memory per rank, and uses the device better.",
        "Needs less memory per rank; steps may be less efficient.",
    ),
    "training.gradientAccumulationSteps": (
        "Larger effective batch in the same memory; fewer steps per epoch.",
        "Smaller effective batch; more steps per epoch, with noisier gradients.",
    ),
    "training.maxSequenceLength": (
        "Needs more memory; fewer records are cut.",
        "Needs less memory; more records are cut.",
    ),
    "training.weightDecay": ("Holds weights closer to zero.", "Lets weights grow more freely."),
    "training.maxGradNorm": ("Clips gradients less.", "Clips gradients more."),
    "training.schedule.warmupRatio": ("Reaches the full rate later.", "Reaches the full rate sooner."),
    "method.lora.rank": (
        "The adapter has more capacity, and needs more memory.",
        "The adapter has less capacity, and needs less memory.",
    ),
    "method.lora.alpha": ("The adapter weighs more.", "The adapter weighs less."),
    "method.lora.dropout": ("Regularises more.", "Regularises less."),
    "distributed.zeroStage": (
        "Shares out more of the model's states: less memory per rank, more communication.",
        "Shares out less of the model's states: more memory per rank, less communication.",
    ),
    "distributed.nodes": ("More ranks: a larger effective batch.", "Fewer ranks: a smaller effective batch."),
    "resources.accelerators.perNode": (
        "More ranks: a larger effective batch, and a higher price per hour.",
        "Fewer ranks: a smaller effective batch, and a lower price per hour.",
    ),
    "checkpoints.everySteps": (
        "Saves more rarely: less writing, more work lost at a failure.",
        "Saves more often: more writing, less work lost at a failure.",
    ),
    "checkpoints.keep": ("Needs more space on the volume.", "Needs less space on the volume."),
}
"""What it means that a number grows, and that it shrinks."""

CHANGES: Final[Mapping[str, str]] = {
    "model.id": "Another model is trained: memory, time and licence may differ.",
    "method.type": "Other weights are trained: memory and the kind of output differ.",
    "quantization.type": "The base is stored in another type: memory and accuracy differ.",
    "training.precision": "Arithmetic changes: speed, memory and stability differ.",
    "training.gradientCheckpointing": "full needs less memory and about a third more time than none.",
    "training.optimizer": "The optimizer's memory changes, and the learning rate may have to.",
    "training.stage": "Another objective: data of another format may be needed.",
    "training.seed": "Another order and other initial adapters: results differ by chance.",
    "dataset.format": "Records are read in another way.",
    "dataset.packing": "Sequences are filled up: fewer steps per epoch.",
    "model.trustRemoteCode": "Code from the model's repository may run.",
}
"""What it means that a value is another one."""


def consequence(path: str, before: Any, after: Any) -> str:
    """Return what the change leads to; an empty string where nothing general can be said."""
    if path in GROWTH and _is_number(before) and _is_number(after):
        return GROWTH[path][0 if after > before else 1]
    return CHANGES.get(path, "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
