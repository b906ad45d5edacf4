"""One table of mistakes and risks, for every place that asks the validator."""

from dataclasses import dataclass
from typing import Any

from manifests import changed


@dataclass(frozen=True)
class Case:
    """A change to a small valid job, and a finding that it leads to."""

    changes: dict[str, Any]
    severity: str
    code: str
    path: str

    @property
    def manifest(self) -> dict[str, Any]:
        return changed(
            {"metadata.namespace": None, "metadata.uid": None, "metadata.generation": None} | self.changes
        )


CASES = (
    Case({"training.learning_rate": 1e-4}, "error", "UnknownField", "training.learning_rate"),
    Case({"dataset": None}, "error", "MissingField", "dataset"),
    Case({"training.learningRate": "2e-4"}, "error", "WrongType", "training.learningRate"),
    Case({"method.type": "lorra"}, "error", "NotAllowed", "method.type"),
    Case({"method.lora.dropout": 1}, "error", "OutOfRange", "method.lora.dropout"),
    Case({"method.lora.targetModules": []}, "error", "OutOfRange", "method.lora.targetModules"),
    Case({"model.path": "/m"}, "error", "NotExactlyOne", "model"),
    Case(
        {"method.type": "dora", "quantization.type": "nf4"},
        "error",
        "QuantizationConflict",
        "quantization.type",
    ),
    Case({"tracking.trackers": [{"type": "tensorboard"}]}, "error", "Requires", "tracking.project"),
    Case(
        {"training.optimizer": "lion8bit", "distributed": {"zeroStage": 2, "offload": {"optimizer": "cpu"}}},
        "error",
        "OffloadOptimizer",
        "training.optimizer",
    ),
    Case({"checkpoints.universal": True}, "error", "Requires", "checkpoints.universal"),
    Case({"training.precision": "fp16"}, "error", "PrecisionDeviceMismatch", "training.precision"),
    Case({"method.type": "qlora"}, "warning", "QloraWithoutQuantization", "quantization.type"),
    Case({"training.learningRate": 0.0011}, "warning", "HighLearningRate", "training.learningRate"),
    Case(
        {"training.gradientAccumulationSteps": 1},
        "warning",
        "SmallEffectiveBatch",
        "training.gradientAccumulationSteps",
    ),
    Case({"training.maxGradNorm": 0}, "warning", "NoGradientClipping", "training.maxGradNorm"),
    Case({"resources.provider": "local"}, "suggestion", "LocalProvider", "resources.provider"),
    Case({}, "suggestion", "NoTracker", "tracking.trackers"),
)
