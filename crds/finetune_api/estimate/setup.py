"""What will really run, as numbers: a job and its devices, with every `auto` decided as the trainer decides
it."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from finetune_api.catalog import Architecture, architecture_of, find_model
from finetune_api.deepspeed import offloads, uses_deepspeed
from finetune_api.estimate.program import TRAINER, Program
from finetune_api.estimate.reference import reference_of
from finetune_api.hardware import TYPICAL_MULTIPROCESSORS, TYPICAL_THREADS, Accelerator
from finetune_api.job import FineTuneJob, FineTuneJobSpec, processes_per_node
from finetune_api.method import MethodSpec
from finetune_api.model import ModelSpec
from finetune_api.quantization import QuantizationSpec
from finetune_api.stages import GrpoSpec, PpoSpec
from finetune_api.training import Optimizer

Precision = Literal["fp32", "bf16", "fp16"]

BYTES: Final[dict[str, int]] = {"fp32": 4, "bf16": 2, "fp16": 2}

PAIRED_STAGES: Final = frozenset({"dpo", "rm"})
"""Stages whose records are a chosen and a rejected answer: two sequences per record."""

PLAIN_STAGES: Final = frozenset({"pretrain", "sft"})
"""Stages whose loss is the model's own cross-entropy, which kernels may fuse with the output embedding."""


@dataclass(frozen=True)
class Setup:
    """Everything that the formulas ask for; sizes in tokens, sequences, ranks and bytes."""

    architecture: Architecture
    method: MethodSpec
    quantization: QuantizationSpec
    ranks: int
    zero_stage: int
    deepspeed: bool
    offload_optimizer: bool
    offload_parameters: bool
    sequences: int
    """Sequences per rank in one pass."""
    length: int
    """Longest sequence, in tokens."""
    shortest_length: int
    """Length that the longest sequence surely has, in tokens: all of it when packed."""
    accumulation: int
    optimizer: Optimizer
    precision: Precision
    """Type of the arithmetic."""
    load_precision: Precision
    """Type in which weights that are not quantized are held."""
    checkpointing: bool
    eager_attention: bool
    fused_loss: bool
    """Whether the loss is computed without the logits of the whole batch: by Liger's kernels, which auto
    takes too where Liger has some for the family, and by unsloth's."""
    fused_layers: bool
    """Whether Liger's kernels replace the norms, the rotation and the activation of each layer."""
    reference_copy: bool
    """Whether a second, frozen copy of the model is there."""
    extra_forwards: float = 0
    """Forward passes without gradients beside each pass, of the reference and for it."""
    reward_parameters: int = 0
    """Weights of a reward model that is there too."""
    nodes: int = 1
    attention_dropout: bool = False
    """Whether attention's probabilities are dropped out."""
    residual_dropout: bool = False
    """Whether what attention and the feed-forward layer add to the residual stream is dropped out."""
    answer_tokens: int = 0
    """Longest answer that the model draws for each record, in tokens; 0 where it draws none."""
    passes_per_answer: int = 1
    """Optimizer steps that learn from the same answers."""
    resident_threads: int = TYPICAL_MULTIPROCESSORS * TYPICAL_THREADS
    """Threads that the device holds at once, for each of which a CUDA context holds memory."""
    program: Program = TRAINER
    """What trains."""
    capacity: float = inf
    """Memory of the device, in bytes."""
    tensor_float: bool = False
    """Whether fp32 products run on matrix units (tf32)."""

    @property
    def compute_bytes(self) -> int:
        """Bytes of one activation in the arithmetic's type."""
        return BYTES[self.precision]

    @property
    def load_bytes(self) -> int:
        """Bytes of one weight that is not quantized, as it is loaded."""
        return BYTES[self.load_precision]

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight that is not quantized. DeepSpeed holds the model in the arithmetic's type and
        the fp32 originals in its optimizer."""
        return self.compute_bytes if self.deepspeed else self.load_bytes

    @property
    def added_bytes(self) -> int:
        """Bytes of one weight of an adapter: fp32 (PEFT), but DeepSpeed casts it to the arithmetic's type."""
        return self.compute_bytes if self.deepspeed or self.program.narrow_adapters else 4

    @property
    def saved_bytes(self) -> int:
        """Bytes of one weight of a module that is copied and trained beside adapters."""
        return self.added_bytes if self.program.wide_saved_modules else self.weight_bytes

    @property
    def saves_embeddings(self) -> bool:
        """Whether a copy of the embeddings is trained beside adapters."""
        return self.method.uses_adapters and any(map(is_embedding, self.method.lora.modules_to_save))

    @property
    def autocast(self) -> bool:
        """Whether fp32 weights are cast for each operation (torch.autocast)."""
        wide = self.compute_bytes < self.load_bytes
        return self.program.autocasting and not self.deepspeed and wide

    @property
    def casts_operations(self) -> bool:
        """Whether torch.autocast casts for the operations on its list, whatever the weights' type."""
        return self.program.autocasting and not self.deepspeed and self.compute_bytes < 4

    @property
    def stepwise_activation(self) -> bool:
        """Whether the activation is several operations, each of which writes its result."""
        return self.architecture.structure.stepwise_activation and not self.program.one_kernel_activation

    @property
    def power_bytes(self) -> int:
        """Bytes of one channel of a power and what follows from it: fp32 under torch.autocast on CUDA."""
        return 4 if self.casts_operations else self.inner_bytes

    @property
    def residual_bytes(self) -> int:
        """Bytes of one channel of the residual stream, which is as wide as the embedding's output."""
        embedding = self.saved_bytes if self.saves_embeddings else self.weight_bytes
        return max(self.compute_bytes, embedding)

    @property
    def inner_bytes(self) -> int:
        """Bytes of one channel inside a layer: autocast's type, but that of the residual stream where
        bitsandbytes multiplies, whose layers give back the type that they were given."""
        quantized = self.quantization.type in ("nf4", "fp4", "int8")
        return self.residual_bytes if quantized else self.compute_bytes

    @property
    def attention_bytes(self) -> int:
        """Bytes of one channel of queries, keys, values and their result, which autocast casts."""
        return self.compute_bytes if self.program.autocasting else self.inner_bytes

    @property
    def logit_bytes(self) -> int:
        """Bytes of one logit as the output embedding gives it."""
        return self.compute_bytes if self.program.autocasting and not self.deepspeed else self.weight_bytes


def is_embedding(name: str) -> bool:
    """Whether a module of this name is the embedding of the tokens."""
    return "embed" in name or name.endswith("wte")


class UnknownArchitectureError(ValueError):
    """The job's model is known neither to the catalog nor by `model.config`; the text says what to do."""


def setup_for(job: FineTuneJob, accelerator: Accelerator, devices: int | None = None) -> Setup:
    """What runs when `job` trains on `devices` of these accelerators (all that it asks for when None).

    Raises `UnknownArchitectureError`.
    """
    spec = job.spec
    architecture = architecture_of(spec.model)
    if architecture is None:
        raise UnknownArchitectureError(
            f"model: the architecture of {spec.model.id or spec.model.path or 'the model'} is not in the "
            "catalog. For an estimate, put a model of `finetune models` in its place, or model.config."
        )
    training, distributed = spec.training, spec.distributed
    ranks = devices or distributed.nodes * processes_per_node(spec)
    deepspeed = uses_deepspeed(distributed, ranks)
    precision = _precision(training.precision, accelerator)
    liger = spec.model.kernels in ("liger", "auto") and architecture.structure.fused_kernels
    # PEFT's prepare_model_for_kbit_training casts what is not quantized of a quantized base to fp32.
    quantization = spec.quantization.settled
    keeps_type = spec.method.uses_adapters and quantization.type == "none"
    load: Precision = precision if keeps_type else "fp32"
    if spec.model.load_precision != "auto":
        load = spec.model.load_precision
    length = training.max_sequence_length
    full = spec.dataset.packing or training.stage == "pretrain"
    reference, drawn = reference_of(spec), drawn_answers(spec)
    drops_out = _drops_out(spec.model, architecture) and drawn is None
    return Setup(
        architecture=architecture,
        method=spec.method,
        quantization=quantization,
        ranks=ranks,
        zero_stage=distributed.stage_of_zero if deepspeed else 0,
        deepspeed=deepspeed,
        offload_optimizer=distributed.stage_of_zero >= 1 and offloads(distributed, "offload_optimizer"),
        offload_parameters=distributed.stage_of_zero == 3 and offloads(distributed, "offload_param"),
        sequences=training.sequences_per_pass * (2 if training.stage in PAIRED_STAGES else 1),
        length=length,
        shortest_length=length if full else min(length, SHORT_RECORDS),
        accumulation=training.gradient_accumulation_steps,
        optimizer=training.optimizer,
        precision=precision,
        load_precision=load,
        checkpointing=training.gradient_checkpointing == "full",
        eager_attention=spec.model.attention == "eager",
        attention_dropout=drops_out,
        residual_dropout=drops_out and architecture.structure.residual_dropout,
        fused_loss=(liger or spec.model.kernels == "unsloth") and training.stage in PLAIN_STAGES,
        fused_layers=liger,
        reference_copy=reference.copy,
        extra_forwards=reference.forwards,
        reward_parameters=_reward_parameters(spec, architecture),
        nodes=min(distributed.nodes, ranks),
        answer_tokens=drawn.sampling.max_new_tokens if drawn else 0,
        passes_per_answer=drawn.updates_per_batch if drawn else 1,
        resident_threads=accelerator.resident_threads,
        capacity=accelerator.memory_gib * 2**30,
        tensor_float=training.precision == "tf32" and accelerator.supports("tf32"),
    )


def _drops_out(model: ModelSpec, architecture: Architecture) -> bool:
    """Whether the model's own dropout is on: as `model.config` has it, else as its family is published."""
    if model.config is not None:
        return model.config.dropout > 0
    return architecture.structure.published_dropout


SHORT_RECORDS: Final = 256
"""Tokens that the longest record of a data set has at least, where nobody has counted: for low bounds
only."""


def drawn_answers(spec: FineTuneJobSpec) -> PpoSpec | GrpoSpec | None:
    """How answers are drawn and learned from; None in stages that draw none."""
    match spec.training.stage:
        case "ppo":
            return spec.training.ppo or PpoSpec()
        case "grpo":
            return spec.training.grpo or GrpoSpec()
        case _:
            return None


def _reward_parameters(spec: FineTuneJobSpec, policy: Architecture) -> int:
    """Weights of ppo's reward model: those of the catalog, else as many as the model that learns has."""
    if spec.training.stage != "ppo":
        return 0
    name = spec.training.ppo.reward_model_id if spec.training.ppo else None
    known = find_model(name) if name else None
    return (known.architecture if known else policy).parameters


def _precision(wanted: str, accelerator: Accelerator) -> Precision:
    if wanted == "auto":
        return "bf16" if accelerator.supports("bf16") else "fp16" if accelerator.supports("fp16") else "fp32"
    if wanted in ("bf16", "fp16"):
        return "bf16" if wanted == "bf16" else "fp16"
    return "fp32"
