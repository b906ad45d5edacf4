"""One table of jobs, for every route by which the validator's findings reach a user."""

from dataclasses import dataclass, field

from operator_rig import Manifest

COMPLETE: Manifest = {
    "model": {"id": "organisation/model"},
    "dataset": {"format": "alpaca", "train": {"hub": {"id": "organisation/data"}}},
    "checkpoints": {"storage": {"claimName": "models"}},
}


@dataclass(frozen=True)
class Case:
    """A job, by what differs from a complete one, and what must be among the findings about it."""

    name: str
    changes: Manifest = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    """`Code path` of what refuses it."""
    advice: tuple[str, ...] = ()
    """`Code path` of warnings and suggestions."""
    schema: str = ""
    """What the API server's schema says, where that refuses the job before the webhook is asked."""

    @property
    def manifest(self) -> Manifest:
        return {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": self.name, "namespace": "team", "uid": "3f0c", "generation": 1},
            "spec": {**COMPLETE, **self.changes},
        }


CASES = (
    Case("valid"),
    Case(
        "risky",
        {"training": {"learningRate": 0.01}},
        advice=("HighLearningRate training.learningRate",),
    ),
    Case(
        "conflict",
        {"resources": {"memory": "64Mi"}},
        errors=("Conflict resources.sharedMemory",),
    ),
    Case(
        "two-errors-and-a-warning",
        {
            "resources": {"memory": "64Mi"},
            "training": {"learningRate": 0.01},
            "distributed": {"deepspeedConfig": {"zero_optimization": {"stage": 9}}},
        },
        errors=(
            "Conflict resources.sharedMemory",
            "DeepSpeedConflict distributed.deepspeedConfig.zero_optimization.stage",
        ),
        advice=("HighLearningRate training.learningRate",),
    ),
    Case(
        "offload",
        {"distributed": {"offload": {"parameters": "cpu"}, "zeroStage": 2}},
        errors=("Requires distributed.offload.parameters",),
        schema="distributed.offload.parameters: cpu needs distributed.zeroStage 3. Set",
    ),
    Case(
        "tracker",
        {"tracking": {"trackers": [{"type": "wandb"}]}},
        errors=("Requires tracking.project",),
        schema="tracking.project: experiment trackers need the name of a project. Set tracking.project.",
    ),
    Case(
        "two-sources",
        {"model": {"id": "a/b", "path": "/m"}},
        errors=("NotExactlyOne model",),
        schema="a model comes from exactly one place",
    ),
    Case(
        "choice",
        {"method": {"type": "lorra"}},
        errors=("NotAllowed method.type",),
        schema='supported values: "full"',
    ),
    Case(
        "text-number",
        {"training": {"learningRate": "2e-4"}},
        errors=("WrongType training.learningRate",),
        schema="must be of type number",
    ),
    Case(
        "unknown-field",
        {"training": {"learning_rate": 1e-4}},
        errors=("UnknownField training.learning_rate",),
        schema="unknown field",
    ),
)

RULES = (
    Case("no-dataset", {"dataset": None}, errors=("MissingField dataset",)),
    Case("out-of-range", {"method": {"lora": {"dropout": 1}}}, errors=("OutOfRange method.lora.dropout",)),
    Case(
        "empty", {"method": {"lora": {"targetModules": []}}}, errors=("OutOfRange method.lora.targetModules",)
    ),
    Case(
        "dora-on-nf4",
        {"method": {"type": "dora"}, "quantization": {"type": "nf4"}},
        errors=("QuantizationConflict quantization.type",),
    ),
    Case(
        "offloaded-lion",
        {
            "training": {"optimizer": "lion8bit"},
            "distributed": {"zeroStage": 2, "offload": {"optimizer": "cpu"}},
        },
        errors=("OffloadOptimizer training.optimizer",),
    ),
    Case(
        "fp16-on-cpu",
        {"training": {"precision": "fp16"}},
        errors=("PrecisionDeviceMismatch training.precision",),
    ),
    Case(
        "noisy",
        {"training": {"gradientAccumulationSteps": 1}},
        advice=("SmallEffectiveBatch training.gradientAccumulationSteps",),
    ),
    Case(
        "flash-in-fp32",
        {
            "model": {"id": "organisation/model", "attention": "flash_attention_2"},
            "training": {"precision": "fp32"},
            "resources": {"accelerators": {"perNode": 1}},
        },
        errors=("Conflict model.attention",),
    ),
    Case(
        "accumulating-lomo",
        {"training": {"optimizer": "lomo", "gradientAccumulationSteps": 4}},
        errors=("OptimizerConflict training.gradientAccumulationSteps",),
    ),
    Case(
        "shared-out-int8",
        {"quantization": {"type": "int8"}, "distributed": {"zeroStage": 3}},
        errors=("QuantizationConflict quantization.type",),
    ),
    Case("unclipped", {"training": {"maxGradNorm": 0}}, advice=("NoGradientClipping training.maxGradNorm",)),
    Case("untracked", advice=("NoTracker tracking.trackers",)),
)
"""More jobs, for the routes that need no API server."""
