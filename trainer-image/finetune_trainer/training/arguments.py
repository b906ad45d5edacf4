"""From the spec to transformers' `TrainingArguments`. What is decided elsewhere is switched off here: saving
and evaluating (`callbacks.py`), reporting (`reporting.py`), the order of the data (`data/sampling.py`), label
smoothing (`smoothed_loss.py`)."""

from pathlib import Path

from transformers import TrainingArguments

from finetune_api.deepspeed import uses_deepspeed
from finetune_api.resolved import ResolvedJob
from finetune_trainer.deepspeed_config import Precision, deepspeed_config
from finetune_trainer.model.kernels import compile_mode, liger_parts
from finetune_trainer.training.optimizers import optimizer_name
from finetune_trainer.training.schedules import schedule


def training_arguments(
    job: ResolvedJob, precision: Precision, staging: Path, steps: int | None = None
) -> TrainingArguments:
    """How transformers runs the job; `staging` is where it writes checkpoints before they are committed,
    `steps` how many the whole run has, where `training.maxSteps` does not say it.

    Raises `InvalidConfigError` for an optimizer or schedule that this trainer does not know.
    """
    training = job.spec.training
    scheduler, scheduler_settings = schedule(training.schedule, training.max_steps or steps)
    warmup = training.schedule.warmup_steps
    deepspeed = uses_deepspeed(job.spec.distributed, job.world_size)
    return TrainingArguments(
        output_dir=str(staging),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.sequences_per_pass,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        average_tokens_across_devices=True,
        learning_rate=training.learning_rate,
        optim=optimizer_name(training.optimizer),
        weight_decay=training.weight_decay,
        adam_beta1=training.adam_beta1,
        adam_beta2=training.adam_beta2,
        adam_epsilon=training.adam_epsilon,
        max_grad_norm=training.max_grad_norm,
        lr_scheduler_type=scheduler,
        lr_scheduler_kwargs=scheduler_settings,
        # transformers reads a warm-up below 1 as a share of all steps
        warmup_steps=float(warmup) if warmup is not None else training.schedule.warmup_ratio,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        activation_checkpointing=training.gradient_checkpointing == "full",
        activation_checkpointing_kwargs={"use_reentrant": False},
        torch_compile_mode=compile_mode(job),
        liger_kernel_config=liger_parts(job),
        neftune_noise_alpha=training.neftune_noise_alpha,
        seed=training.seed,
        use_cpu=job.device == "cpu",
        deepspeed=deepspeed_config(job, precision) if deepspeed else None,
        ddp_find_unused_parameters=False,
        ddp_timeout=job.spec.distributed.timeout_seconds,
        dataloader_num_workers=training.data_loader.workers,
        dataloader_pin_memory=training.data_loader.pin_memory,
        dataloader_prefetch_factor=training.data_loader.prefetch_factor,
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="warning",
        push_to_hub=False,
    )
