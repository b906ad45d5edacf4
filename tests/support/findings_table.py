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
    by_schema: str = ""
    """What the API server's schema says in words of its own: of types, choices, bounds and unknown fields."""
    job: str = ""
    """The job's name, where it is not the case's."""

    @property
    def manifest(self) -> Manifest:
        return {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": self.job or self.name, "namespace": "team", "uid": "3f0c", "generation": 1},
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
        "choice",
        {"method": {"type": "lorra"}},
        errors=("NotAllowed method.type",),
        by_schema='supported values: "full"',
    ),
    Case(
        "text-number",
        {"training": {"learningRate": "2e-4"}},
        errors=("WrongType training.learningRate",),
        by_schema="must be of type number",
    ),
    Case(
        "unknown-field",
        {"training": {"learning_rate": 1e-4}},
        errors=("UnknownField training.learning_rate",),
        by_schema="unknown field",
    ),
)

CEL_CASES = (
    Case("no-model", {"model": None}, errors=("MissingField model",)),
    Case("no-dataset", {"dataset": None}, errors=("MissingField dataset.train",)),
    Case("no-source", {"model": {}}, errors=("NotExactlyOne model",)),
    Case("two-sources", {"model": {"id": "a/b", "path": "/m"}}, errors=("NotExactlyOne model",)),
    Case(
        "revision-of-a-path",
        {"model": {"path": "/m", "revision": "v2"}},
        errors=("Requires model.revision",),
    ),
    Case(
        "two-tokenizers",
        {"model": {"id": "a/b", "tokenizer": {"id": "a/b", "path": "/t"}}},
        errors=("NotExactlyOne model.tokenizer",),
    ),
    Case(
        "two-templates",
        {"model": {"id": "a/b", "tokenizer": {"chatTemplate": "x", "chatTemplateName": "chatml"}}},
        errors=("Conflict model.tokenizer.chatTemplate",),
    ),
    Case("no-training-data", {"dataset": {"train": {}}}, errors=("NotExactlyOne dataset.train",)),
    Case(
        "two-evaluations",
        {
            "dataset": {
                "train": {"hub": {"id": "a/b"}},
                "eval": {"hub": {"id": "a/b"}, "http": {"url": "https://a.example/b"}},
            }
        },
        errors=("NotExactlyOne dataset.eval",),
    ),
    Case(
        "questions-from-nowhere",
        {"evaluation": {"benchmarks": [{"name": "ours", "type": "prompts", "prompts": {}}]}},
        errors=("NotExactlyOne evaluation.benchmarks[0].prompts",),
    ),
    Case(
        "dora-on-nf4",
        {"method": {"type": "dora"}, "quantization": {"type": "nf4"}},
        errors=("QuantizationConflict quantization.type",),
    ),
    Case(
        "full-on-int8",
        {"method": {"type": "full"}, "quantization": {"type": "int8"}},
        errors=("QuantizationConflict quantization.type",),
    ),
    Case(
        "endless-stream",
        {"dataset": {"train": {"hub": {"id": "a/b"}}, "streaming": True}},
        errors=("Requires training.maxSteps",),
    ),
    Case(
        "packed-stream",
        {
            "dataset": {"train": {"hub": {"id": "a/b"}}, "streaming": True, "packing": True},
            "training": {"maxSteps": 9},
        },
        errors=("Conflict dataset.packing",),
    ),
    Case(
        "stable-cosine",
        {"training": {"schedule": {"stableRatio": 0.5}}},
        errors=("Conflict training.schedule.stableRatio",),
    ),
    Case(
        "offloaded-parameters",
        {"distributed": {"offload": {"parameters": "cpu"}, "zeroStage": 2}},
        errors=("Requires distributed.offload.parameters",),
    ),
    Case(
        "offloaded-optimizer",
        {"distributed": {"offload": {"optimizer": "cpu"}}},
        errors=("Requires distributed.offload.optimizer",),
    ),
    Case(
        "sourceless-volume",
        {"resources": {"volumes": [{"name": "d", "mountPath": "/d"}]}},
        errors=("NotExactlyOne resources.volumes[0]",),
    ),
    Case(
        "two-values",
        {
            "resources": {
                "env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
            }
        },
        errors=("Conflict resources.env[0]",),
    ),
    Case(
        "output-on-no-claim",
        {"output": {"storage": {"subPath": "x"}}},
        errors=("Requires output.storage.claimName",),
    ),
    Case(
        "tracker",
        {"tracking": {"trackers": [{"type": "tensorboard"}]}},
        errors=("Requires tracking.project",),
    ),
    Case("long-name", job="d" * 41, errors=("InvalidName metadata.name",)),
    Case("number-as-name", job="1st", errors=("InvalidName metadata.name",)),
)
"""Jobs that a CEL rule refuses before the webhook is asked, in the words of the finding; one at least for
each rule."""

RULES = (
    Case(
        "out-of-range",
        {"method": {"lora": {"dropout": 1}}},
        errors=("OutOfRange method.lora.dropout",),
        by_schema="should be less than",
    ),
    Case(
        "empty",
        {"method": {"lora": {"targetModules": []}}},
        errors=("OutOfRange method.lora.targetModules",),
        by_schema="should have at least 1 items",
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
"""More jobs, for rules that only the webhook tells `kubectl apply` of."""

EVERY_CASE = (*CASES, *CEL_CASES, *RULES)
