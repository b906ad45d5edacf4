"""What really runs, after automatic decisions."""

import torch

from finetune_api.deepspeed import uses_deepspeed
from finetune_api.resolved import ResolvedJob
from finetune_trainer.data.packed import PackedDataset
from finetune_trainer.data.training_data import TrainingData
from finetune_trainer.deepspeed_config import Precision
from finetune_trainer.methods.coverage import reach
from finetune_trainer.model.kernels import attention_word, compile_word, kernels_word
from finetune_trainer.model.models import trained_parameters


def effective(
    job: ResolvedJob,
    precision: Precision,
    data: TrainingData,
    model: object,
    attention: str,
) -> dict[str, str]:
    """What really runs, after automatic decisions; for the status. The optimizer is added when there is one
    (`training/callbacks.py`)."""
    spec = job.spec
    strategy = "one process"
    if uses_deepspeed(spec.distributed, job.world_size):
        strategy = f"DeepSpeed ZeRO-{spec.distributed.stage_of_zero}"
    elif job.world_size > 1:
        strategy = "data parallel"
    trained, total = trained_parameters(model) if isinstance(model, torch.nn.Module) else (0, 0)
    facts = {
        "device": torch.cuda.get_device_name() if job.device == "cuda" else "CPU",
        "precision": spec.training.precision if spec.training.precision == "tf32" else precision,
        "attention": attention_word(spec.model.attention, attention),
        "quantization": spec.quantization.type,
        "kernels": kernels_word(job, model),
        "compile": compile_word(job),
        "strategy": strategy,
        "ranks": str(job.world_size),
        "microBatchSize": str(spec.training.sequences_per_pass),
        "effectiveBatchSize": str(job.effective_batch_size),
        "gradientCheckpointing": "full" if spec.training.gradient_checkpointing == "full" else "none",
        "trainedParameters": str(trained),
        "parameters": str(total),
        "sequences": str(data.facts.sequences),
        "tokens": str(data.facts.tokens),
        "supervisedTokens": str(data.facts.supervised_tokens),
    }
    if isinstance(model, torch.nn.Module):
        facts |= reach(model, spec)
    if data.facts.truncated:
        facts["truncatedRecords"] = f"{data.facts.truncated} ({data.facts.cut_tokens} tokens cut)"
    if data.facts.unsupervised:
        facts["recordsWithoutAnswer"] = str(data.facts.unsupervised)
    if spec.training.stage in ("ppo", "grpo"):
        facts["dropout"] = "off: answers are drawn and learned from without it"
    if isinstance(data, PackedDataset):
        facts["packedRecords"] = str(len(data.records))
    return facts
