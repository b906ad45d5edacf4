"""What became of the fields that may say `auto`, beside those that need the loaded model (`effective.py`)."""

from typing import Final

import torch

from finetune_api.deepspeed import uses_deepspeed
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.preparation import supervised
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.distributed import communication
from finetune_trainer.methods.adapters import initialization
from finetune_trainer.model.models import load_dtype
from finetune_trainer.model.precision import DTYPES
from finetune_trainer.model.quantization import compute_type, storage_type
from finetune_trainer.model.tokenizers import padding_side
from finetune_trainer.output.export import written_precision
from finetune_trainer.output.merge import Base, merged_precision
from finetune_trainer.stages import stage_for

TYPES: Final = {dtype: str(name) for name, dtype in DTYPES.items()} | {torch.uint8: "uint8"}
TASKS: Final = {"CAUSAL_LM": "causalLm", "SEQ_CLS": "sequenceClassification"}


def decisions(job: ResolvedJob, precision: Precision, base: Base, resumed_step: int | None) -> dict[str, str]:
    """What was decided, under the field's own name (`output.precision`: `outputPrecision`), for the status.

    What does not apply to the job is left out: adapters' fields without adapters, 4-bit types without such
    weights, the type of a model where none is written.
    """
    spec = job.spec
    decided = {
        "loadPrecision": TYPES[load_dtype(spec, precision)],
        "paddingSide": padding_side(spec.model.tokenizer),
        "engine": "deepspeed" if uses_deepspeed(spec.distributed, job.world_size) else "torch",
        "backend": communication(job),
        "resume": "from the start" if resumed_step is None else f"from step {resumed_step}",
    }
    if spec.training.stage not in ("ppo", "grpo"):  # these learn from rewards for answers that they draw
        decided["supervise"] = supervised(spec)
    if spec.method.uses_adapters:
        decided["initialization"] = initialization(spec.method)
        decided["taskType"] = TASKS[stage_for(spec.training).head.task]
    if spec.quantization.type in ("nf4", "fp4"):
        decided["computeType"] = TYPES[compute_type(spec, precision)]
        decided["storageType"] = TYPES[storage_type(spec, precision)]
    if not spec.method.uses_adapters:
        decided["outputPrecision"] = written_precision(job, precision)
    elif spec.output.merge_adapter:
        decided["outputPrecision"] = merged_precision(spec.output.precision, base)
    return decided
