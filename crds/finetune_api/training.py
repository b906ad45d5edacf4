"""`spec.training`: how long, how fast and in what arithmetic the model learns."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import AUTO, OR_AUTO, ApiModel, Integer
from finetune_api.method import Pattern
from finetune_api.stages import DpoSpec, GrpoSpec, KtoSpec, PpoSpec, RewardModelSpec

Optimizer = Literal[
    "adamw",
    "adamwFused",
    "adamw8bit",
    "pagedAdamw",
    "pagedAdamw8bit",
    "adafactor",
    "ademamix",
    "ademamix8bit",
    "lion",
    "lion8bit",
    "pagedAdemamix",
    "pagedAdemamix8bit",
    "pagedLion",
    "pagedLion8bit",
    "sgd",
    "adagrad",
    "rmsprop",
    "rmspropBnb",
    "rmsprop8bit",
    "galoreAdamw",
    "galoreAdafactor",
    "stableAdamw",
    "scheduleFreeAdamw",
    "scheduleFreeRadam",
    "scheduleFreeSgd",
    "adamwTorch4bit",
    "adamwTorch8bit",
    "adamwTorchXla",
    "adamwTorchNpuFused",
    "adamwAnyprecision",
    "galoreAdamw8bit",
    "galoreAdamwLayerwise",
    "galoreAdamw8bitLayerwise",
    "galoreAdafactorLayerwise",
    "apolloAdamw",
    "apolloAdamwLayerwise",
    "lomo",
    "adalomo",
    "grokadamw",
]
"""Every optimizer that transformers knows by name. From adamwTorch4bit on, all are refused, each with the
reason (`validation/capabilities.py`)."""


ScheduleType = Literal[
    "cosine",
    "linear",
    "constant",
    "polynomial",
    "cosineWithRestarts",
    "inverseSqrt",
    "warmupStableDecay",
    "reduceOnPlateau",
    "greedy",
]
"""Every schedule that transformers knows by name, its cosines as one. The last is refused, with the reason
(`validation/capabilities.py`)."""


class ScheduleSpec(ApiModel):
    """How the learning rate changes over the run."""

    type: ScheduleType = Field(
        default="cosine", description="Shape of the decay after the warm-up; constant does not decay."
    )
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.03, description="Share of all steps in which the rate rises from 0; see warmupSteps."
    )
    warmup_steps: Annotated[Integer, Field(ge=0, le=10_000_000)] | None = Field(
        default=None, description="Steps in which the rate rises from 0; replaces warmupRatio."
    )
    start_learning_rate_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Rate of the first step of the warm-up, as a share of training.learningRate; for cosine.",
    )
    min_learning_rate_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Lowest rate, as a share of training.learningRate; for cosine."
    )
    cycles: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        default=1, description="Number of restarts, for cosineWithRestarts."
    )
    power: Annotated[float, Field(gt=0, le=10)] = Field(
        default=1.0, description="Exponent of the decay, for polynomial."
    )
    stable_ratio: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Share of all steps at the full rate, for warmupStableDecay; 0.8 when absent.",
    )
    patience: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        default=10,
        description="Evaluations without an improvement of checkpoints.metric after which the next such one "
        "lowers the rate, for reduceOnPlateau.",
    )
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="What the rate is then multiplied by, for reduceOnPlateau."
    )


class EarlyStoppingSpec(ApiModel):
    """Ends the run when the evaluation metric (checkpoints.metric) no longer improves."""

    patience: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        default=3, description="Evaluations without an improvement before the run ends."
    )
    threshold: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0.0001, description="Smallest change of the metric that counts as an improvement."
    )


class DataLoaderSpec(ApiModel):
    """How batches reach the device."""

    workers: Annotated[Integer, Field(ge=0, le=128)] = Field(
        default=0, description="Processes per rank that load batches; 0 loads them in the rank itself."
    )
    pin_memory: bool = Field(
        default=True,
        description="Whether batches are put into page-locked memory, for faster copies to a GPU.",
    )
    prefetch_factor: Annotated[Integer, Field(ge=1, le=128)] | None = Field(
        default=None, description="Batches that each worker prepares ahead; needs workers."
    )


class ParameterGroupSpec(ApiModel):
    """Weights that have a learning rate of their own."""

    pattern: Pattern = Field(description="Regular expression over parameter names; the first match wins.")
    learning_rate: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Peak learning rate of these weights; training.learningRate when absent."
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Weight decay of these weights; training.weightDecay when absent."
    )


class TrainingSpec(ApiModel):
    """Stage, duration, batch, optimizer, schedule and precision."""

    engine: Literal["transformers", "llamafactory"] = Field(
        default="transformers", description="Library that runs the loop."
    )
    stage: Literal["pretrain", "sft", "rm", "dpo", "kto", "ppo", "grpo"] = Field(
        default="sft",
        description="pretrain: plain text, loss on every token. sft: answers to prompts. rm: reward model. "
        "dpo, kto: preferences. ppo, grpo: reinforcement learning.",
    )
    epochs: Annotated[float, Field(gt=0, le=10000)] = Field(
        default=3.0, description="Passes over the training data, also a part of one; see maxSteps."
    )
    max_steps: Annotated[Integer, Field(ge=1, le=100_000_000)] | None = Field(
        default=None, description="Optimizer steps after which the run ends; replaces epochs."
    )
    micro_batch_size: Annotated[Annotated[Integer, Field(ge=1, le=65536)] | Literal["auto"], OR_AUTO] = Field(
        default=1,
        description="Sequences per rank in one forward pass. auto: as 1, but as many of "
        "gradientAccumulationSteps' passes at once as are fastest and surely fit, as far as accelerator and "
        "model are known; the effective batch stays as it is.",
    )
    gradient_accumulation_steps: Annotated[Integer, Field(ge=1, le=65536)] = Field(
        default=16,
        description="Forward passes per optimizer step. Effective batch: "
        "microBatchSize × gradientAccumulationSteps × ranks.",
    )
    learning_rate: Annotated[float, Field(gt=0, le=10)] = Field(
        default=2e-4, description="Peak learning rate, after the warm-up."
    )
    parameter_groups: Annotated[list[ParameterGroupSpec], Field(max_length=32)] = Field(
        default=[], description="Weights with a learning rate or weight decay of their own."
    )
    optimizer: Optimizer = Field(
        default="adamw",
        description="Optimizer; 8bit keeps its state in 8 bit, paged lets that state move to host memory.",
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.01, description="Decoupled weight decay; biases and normalisation layers have none."
    )
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="Decay of the first moment, for optimizers of the Adam family."
    )
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.999, description="Decay of the second moment, for optimizers of the Adam family."
    )
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1e-8, description="Term that keeps Adam from dividing by zero."
    )
    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=1.0, description="Gradients are scaled down to this norm; 0 leaves them as they are."
    )
    schedule: ScheduleSpec = Field(default={}, validate_default=True, description="Learning-rate schedule.")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        default="auto",
        description="Arithmetic of the forward and backward pass. auto: bf16 where the accelerator has it, "
        "fp16 on older ones, fp32 on CPU.",
    )
    max_sequence_length: Annotated[Integer, Field(ge=8, le=2_097_152)] = Field(
        default=2048, description="Longest sequence, in tokens."
    )
    gradient_checkpointing: Literal["auto", "none", "full"] = Field(
        default="auto",
        description="full computes activations again in the backward pass: less memory, about a "
        "third more time. auto: full where the job might not fit without, as far as accelerator and "
        "model are known, else none.",
    )
    compile: Literal["none", "default", "reduceOverhead", "maxAutotune"] = Field(
        default="none", description="Mode of torch.compile."
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of the target that is spread over all tokens."
    )
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None, description="NEFTune: strength of the noise added to embeddings while training."
    )
    sampling: Literal["random", "sequential", "groupByLength"] = Field(
        default="random", description="Order of the records; groupByLength puts similar lengths together."
    )
    data_loader: DataLoaderSpec = Field(
        default={}, validate_default=True, description="How batches reach the device."
    )
    seed: Annotated[Integer, Field(ge=0, le=4_294_967_295)] = Field(
        default=42, description="Seed of weights, dropout and order."
    )
    data_seed: Annotated[Integer, Field(ge=0, le=4_294_967_295)] | None = Field(
        default=None, description="Seed of the records' order and of evalSplit; seed when absent."
    )
    logging_steps: Annotated[Integer, Field(ge=1, le=1_000_000)] = Field(
        default=10, description="Optimizer steps between two lines of metrics."
    )
    logging_first_step: bool = Field(default=True, description="Whether the first step is logged too.")
    early_stopping: EarlyStoppingSpec | None = Field(
        default=None, description="Ends the run when evaluation no longer improves; never when absent."
    )
    dpo: DpoSpec | None = Field(default=None, description="Settings for stage dpo.")
    kto: KtoSpec | None = Field(default=None, description="Settings for stage kto.")
    ppo: PpoSpec | None = Field(default=None, description="Settings for stage ppo.")
    grpo: GrpoSpec | None = Field(default=None, description="Settings for stage grpo.")
    reward_model: RewardModelSpec | None = Field(default=None, description="Settings for stage rm.")

    @property
    def sequences_per_pass(self) -> int:
        """Sequences per rank in one forward pass: 1 as long as `auto` is not decided."""
        return 1 if self.micro_batch_size == AUTO else self.micro_batch_size

    @property
    def sequences_per_rank(self) -> int:
        """Sequences per rank and optimizer step, which deciding `auto` does not change."""
        return self.sequences_per_pass * self.gradient_accumulation_steps

    @property
    def seed_of_data(self) -> int:
        """What the order of the records, and which of them are held out, are drawn by: runs of several seeds
        that share it see the same data."""
        return self.seed if self.data_seed is None else self.data_seed
