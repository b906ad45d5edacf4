"""Every rule, warning and piece of advice of the five documents, and where the product follows it."""

from dataclasses import dataclass
from typing import Final

from finetune_api.validation.codes import Code


@dataclass(frozen=True)
class Advice:
    """What a document asks for, in our words."""

    text: str
    place: Code | str
    """Finding that says it before the run, or where it is followed otherwise."""


_OUT_OF_MEMORY: Final = (
    "`finetune estimate` before the run; failurePolicy.outOfMemory and the reason OutOfMemory after it"
)

ADVICE: Final[dict[str, tuple[Advice, ...]]] = {
    "wizard": (
        Advice("a provider and an algorithm are chosen", Code.NOT_ALLOWED),
        Advice("a model and data are named", Code.NOT_EXACTLY_ONE),
        Advice("hyperparameters, rank and alpha are positive", Code.OUT_OF_RANGE),
        Advice("dropout is between 0 and 1", Code.OUT_OF_RANGE),
        Advice("a target module is named", Code.OUT_OF_RANGE),
        Advice("no DoRA on a quantized base (quantization.allowDora allows it)", Code.QUANTIZATION_CONFLICT),
        Advice("a tracker has a project", Code.REQUIRES),
        Advice("qlora has a base in 4 bit", Code.QLORA_WITHOUT_QUANTIZATION),
        Advice("an effective batch of 1 is very small", Code.SMALL_EFFECTIVE_BATCH),
        Advice("a learning rate over 1e-3 is high", Code.HIGH_LEARNING_RATE),
        Advice("other providers may be faster than this machine", Code.LOCAL_PROVIDER),
        Advice("a tracker shows how training goes", Code.NO_TRACKER),
        Advice("memory fits what is there", "`finetune estimate`; a job that clearly can't fit is refused"),
        Advice("estimates of time, cost and carbon", "`finetune estimate`; status.estimate"),
        Advice("connected providers are detected", "not yet: resources.provider is a choice of the user"),
        Advice("presets, comparison, import and export", "`finetune presets`, `compare`, `import`, `export`"),
    ),
    "YAML framework": (
        Advice("qlora needs quantization in 4 bit", Code.QLORA_WITHOUT_QUANTIZATION),
        Advice("start small", "dataset.maxSamples and training.maxSteps"),
        Advice(
            "validate before training", "`finetune validate`, admission, and the trainer itself once more"
        ),
        Advice(
            "keep configurations for reproducibility", "each attempt keeps its resolved job in a ConfigMap"
        ),
        Advice("watch for instability", "status.metrics; failurePolicy.divergence ends a run that diverges"),
        Advice("out of memory", _OUT_OF_MEMORY),
        Advice("slow: use mixed precision", Code.SLOW_PRECISION),
        Advice("slow: use flash attention", "model.attention auto takes what is there; see DeviceMismatch"),
        Advice("poor convergence: tune rate and schedule", Code.HIGH_FULL_LEARNING_RATE),
        Advice("losses that are not numbers: lower the rate", Code.HIGH_LEARNING_RATE),
        Advice("losses that are not numbers: clip gradients", Code.NO_GRADIENT_CLIPPING),
        Advice("a DeepSpeed configuration that fits the rest", Code.DEEPSPEED_CONFLICT),
        Advice(
            "recommended ranges of rank, alpha, dropout, epochs, batch, rate, warm-up, clipping and decay",
            "the defaults lie in them; a value outside of them is no mistake, and nothing is said of it",
        ),
    ),
    "LoRA service": (
        Advice(
            "a csv has the columns input and output", "the trainer's data check names file, line and column"
        ),
        Advice("text is UTF-8", "the trainer's data check names file and line"),
        Advice("out of memory: a smaller model or batch, checkpointing, quantization", _OUT_OF_MEMORY),
        Advice("slow: fewer epochs", Code.MANY_EPOCHS),
        Advice(
            "slow: a smaller set for tests, shorter sequences",
            "dataset.maxSamples, training.maxSequenceLength",
        ),
        Advice(
            "limit uploads, authenticate, store safely",
            "not yet: this version takes no uploads; secrets only as references",
        ),
        Advice("clean up old jobs", "failurePolicy.ttlSecondsAfterFinished"),
    ),
    "LlamaFarm": (
        Advice("at least 50 to 100 examples", "the trainer's data check counts records before training"),
        Advice("similar lengths train better", "dataset.packing, or training.sampling groupByLength"),
        Advice("clean, diverse text", "the trainer's data check shows rendered samples and lengths"),
        Advice("bf16 and flash attention need Ampere or newer", Code.PRECISION_DEVICE_MISMATCH),
        Advice("flash attention needs a GPU that has it", Code.DEVICE_MISMATCH),
        Advice("early stopping needs evaluation", Code.REQUIRES),
        Advice("the metric's direction", Code.METRIC_DIRECTION),
        Advice("the best checkpoint is one that was measured", Code.BEST_BETWEEN_CHECKPOINTS),
        Advice("out of memory", _OUT_OF_MEMORY),
        Advice("slow: mixed precision", Code.SLOW_PRECISION),
        Advice(
            "slow: more loader processes",
            "not a rule: records are tokenised before, so that loading is cheap",
        ),
        Advice(
            "poor results: more epochs, a larger rank, better data", "not known in advance: status.metrics"
        ),
        Advice("exploding gradients: lower the rate", Code.HIGH_LEARNING_RATE),
        Advice("exploding gradients: clip them", Code.NO_GRADIENT_CLIPPING),
        Advice("exploding gradients: warm up", Code.NO_WARMUP),
        Advice("save checkpoints, the best and the last", Code.NO_CHECKPOINTS),
        Advice("evaluate regularly, against overfitting", Code.NO_EVALUATION),
        Advice("document experiments", Code.NO_TRACKER),
    ),
    "training engine": (
        Advice("only AdamW", "all optimizers of training.optimizer; see OffloadOptimizer"),
        Advice("a lower rate against losses that are not numbers", Code.HIGH_LEARNING_RATE),
        Advice("clip gradients at 1.0", Code.NO_GRADIENT_CLIPPING),
        Advice("bf16 is more stable than fp16", Code.UNSTABLE_PRECISION),
        Advice("no fp32 unless necessary", Code.SLOW_PRECISION),
        Advice("bad data, such as values that are not numbers", "the run ends with the reason Diverged"),
        Advice("out of memory", _OUT_OF_MEMORY),
        Advice(
            "a checkpoint to resume from is there", "checkpoints.resume auto starts anew where there is none"
        ),
        Advice("save often enough, every 1000 steps", Code.RARE_CHECKPOINTS),
        Advice("do not save too often", Code.FREQUENT_CHECKPOINTS),
        Advice("keep a limited number of checkpoints", "checkpoints.keep, 3 by default"),
        Advice(
            "test resuming before a long run",
            "tested with the product: a resumed run equals an uninterrupted one",
        ),
        Advice("warm up", Code.NO_WARMUP),
        Advice("cosine decay for long runs, no constant rate", Code.CONSTANT_RATE),
        Advice("scale the rate with the batch", "not a rule: the best rate depends on data and model"),
        Advice("use a tracker", Code.NO_TRACKER),
        Advice("evaluate periodically", Code.NO_EVALUATION),
        Advice("monitor loss, perplexity and gradient norms", "status.metrics; evaluation.metrics"),
        Advice("configurations in version control", "manifests; GitOps"),
    ),
}
