"""Rules over several sections of a job's spec that the API server checks too.

Of a job with a preset the API server sees a part: there the whole is checked by the webhook and the operator,
once the preset's values are in it.
"""

from typing import Final

from finetune_api.rule import Rule, exactly_one

MODEL_SOURCES: Final = ("id", "path", "config")

MODEL_GIVEN: Final = Rule(
    "has(self.model)",
    path="model",
    message="is required",
    remedy="Set model.id, model.path or model.config, or a preset that does",
)

ONE_MODEL: Final = exactly_one("a model", MODEL_SOURCES, "model", unless="!has(self.model)")

REVISION_OF_ID: Final = Rule(
    "!has(self.model) || has(self.model.id) || !has(self.model.revision)",
    path="model.revision",
    value="self.model.revision",
    message="names a version on the hub, and model.id is not set",
    remedy="Remove model.revision or set model.id",
)

DATASET_GIVEN: Final = Rule(
    "has(self.dataset) && has(self.dataset.train)",
    path="dataset.train",
    message="is required",
    remedy="Set where the records come from, or a preset that does",
)

DORA_ALLOWED: Final = Rule(
    "self.method.type != 'dora' || self.quantization.type == 'none' || self.quantization.allowDora",
    path="quantization.type",
    value="self.quantization.type",
    message="dora on a quantized base is refused: it is slow, and not every combination works",
    remedy="Set quantization.type to none, use method.type qlora, or set quantization.allowDora: true",
)

QUANTIZED_IS_FROZEN: Final = Rule(
    "!(self.method.type in ['full', 'freeze', 'spectrum']) || self.quantization.type == 'none'",
    path="quantization.type",
    value="self.quantization.type",
    message="quantized weights can't be trained, and this method.type trains them",
    remedy="Set quantization.type to none, or use method.type lora or qlora",
)

STREAM_ENDS: Final = Rule(
    "!self.dataset.streaming || has(self.training.maxSteps)",
    path="training.maxSteps",
    message="a stream has no known length, so epochs can't say when the run ends",
    remedy="Set training.maxSteps, or dataset.streaming to false",
)

STREAM_UNPACKED: Final = Rule(
    "!self.dataset.streaming || !self.dataset.packing",
    path="dataset.packing",
    value="'true'",
    message="looks for the best fit among all records, and a stream shows them one by one",
    remedy="Set dataset.streaming to false, or packing to false",
)

STABLE_RATIO: Final = Rule(
    "!has(self.training.schedule.stableRatio) || self.training.schedule.type == 'warmupStableDecay'",
    path="training.schedule.stableRatio",
    message="belongs to schedule.type warmupStableDecay",
    detail=", and the type is {type}",
    words={"type": "self.training.schedule.type"},
    remedy="Remove stableRatio or use schedule.type warmupStableDecay",
)

OFFLOADED_PARAMETERS: Final = Rule(
    "self.distributed.offload.parameters == 'none' || string(self.distributed.zeroStage) in ['3', 'auto']",
    path="distributed.offload.parameters",
    value="self.distributed.offload.parameters",
    message="needs distributed.zeroStage 3",
    remedy="Set distributed.zeroStage to 3, or offload.parameters to none",
)

OFFLOADED_OPTIMIZER: Final = Rule(
    "self.distributed.offload.optimizer == 'none' || string(self.distributed.zeroStage) != '0'",
    path="distributed.offload.optimizer",
    value="self.distributed.offload.optimizer",
    message="needs distributed.zeroStage 1 or more",
    remedy="Set distributed.zeroStage to 2, or offload.optimizer to none",
)

OUTPUT_ON_A_CLAIM: Final = Rule(
    "!has(self.output.storage) || has(self.output.storage.claimName)",
    path="output.storage.claimName",
    message="output.storage names a volume that exists, and claimName is not set",
    remedy="Set output.storage.claimName, or remove output.storage to write beside the checkpoints",
)

PROJECT_GIVEN: Final = Rule(
    "!has(self.tracking) || !has(self.tracking.trackers) || self.tracking.trackers.size() == 0 "
    "|| has(self.tracking.project)",
    path="tracking.project",
    message="experiment trackers need the name of a project",
    remedy="Set tracking.project",
)

RULES_OVER_SECTIONS: Final = (
    MODEL_GIVEN,
    ONE_MODEL,
    REVISION_OF_ID,
    DATASET_GIVEN,
    DORA_ALLOWED,
    QUANTIZED_IS_FROZEN,
    STREAM_ENDS,
    STREAM_UNPACKED,
    STABLE_RATIO,
    OFFLOADED_PARAMETERS,
    OFFLOADED_OPTIMIZER,
    OUTPUT_ON_A_CLAIM,
    PROJECT_GIVEN,
)
"""In the order of the sections."""

WITHOUT_PRESET: Final = tuple(rule.in_cel(unless="has(self.preset)") for rule in RULES_OVER_SECTIONS)
