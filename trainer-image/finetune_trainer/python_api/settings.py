"""The fields of a configuration, and where each lives in a job. Imports neither torch nor transformers."""

from dataclasses import dataclass, field
from typing import Final, Literal

from finetune_api.parameter_map import TRAINING_ENGINE, Parameter


@dataclass
class TransformerConfig:
    """A decoder-only transformer that is trained from scratch."""

    vocab_size: int = 50257
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    max_position_embeddings: int = 1024
    """Longest sequence, in tokens."""
    dropout: float = 0.0
    architecture: str = "llama"
    """One of those that `model.config.architecture` of a job knows."""


@dataclass
class TrainingSettings:
    """The fields of a `TrainingConfig`. They may be changed until a `Trainer` trains with them."""

    model_config: TransformerConfig = field(default_factory=TransformerConfig)
    batch_size: int = 8
    """Sequences per device in one forward pass."""
    learning_rate: float = 6e-4
    """Peak rate, after the warm-up."""
    max_steps: int = 100_000
    """Optimizer steps of the whole run, those before a resume included."""
    warmup_steps: int = 2000
    optimizer_type: str = "adamw"
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    scheduler_type: str = "cosine"
    """cosine, linear or constant."""
    min_lr_ratio: float = 0.1
    """Lowest rate of the cosine, as a share of `learning_rate`."""
    gradient_accumulation_steps: int = 1
    max_grad_norm: float = 1.0
    mixed_precision: Literal["fp16", "bf16"] | None = None
    logging_steps: int = 100
    save_steps: int = 1000
    eval_steps: int = 500
    checkpoint_dir: str = "./checkpoints"
    max_checkpoints_to_keep: int = 5
    wandb_project: str | None = None
    wandb_run_name: str | None = None
    resume_from_checkpoint: bool = False
    """Whether to go on from the newest whole checkpoint. If not, checkpoints that are there are set aside."""
    num_workers: int = 0
    """Processes that load batches."""
    seed: int = 42


PARAMETERS: Final = {row.name: row for row in TRAINING_ENGINE.rows if isinstance(row, Parameter)}
"""Where each setting lives in a job, from the map that `finetune import` uses too."""
