"""TRL's SFTTrainer as a contestant, with the settings that are fastest on CPU.

fp32, fused AdamW, no gradient checkpointing, no workers (the data is in memory), its chunked loss (the
default), padding-free best-fit packs where packing is compared. torch.compile is left out for both. It gets
our tokens, labels and order, so that both do the same arithmetic.
"""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from trainer_bench.scenarios import Scenario
from trainer_bench.turns import Turns
from trainer_bench.workload import make_job


def main(
    parent: Connection,
    scenario: Scenario,
    model: Path,
    data: Path,
    work: Path,
    rounds: int,
    steps: int,
) -> None:
    """Trains on the rows of our order, one after the other."""
    import datasets
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    from finetune_trainer.methods import apply_method

    turns = Turns(parent, rounds, steps, lambda: losses)
    losses: list[float] = []
    job = make_job(scenario.spec(model, data, turns.last_step), work)
    training = job.spec.training
    rows, tokens = our_rows(job, turns.last_step)
    turns.tokens_in = tokens.__getitem__

    class Follower(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            turns.step_done()

        def on_log(self, *_args: Any, logs: dict[str, float], **_kwargs: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    trainer = SFTTrainer(
        model=apply_method(base, job.spec.method, training.seed),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=datasets.Dataset.from_list(rows),
        callbacks=[Follower()],
        args=SFTConfig(
            output_dir=str(work / "trl"),
            max_steps=turns.last_step + 1,
            per_device_train_batch_size=scenario.micro_batch,
            gradient_accumulation_steps=scenario.accumulation,
            learning_rate=training.learning_rate,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=training.max_grad_norm,
            adam_beta1=training.adam_beta1,
            adam_beta2=training.adam_beta2,
            adam_epsilon=training.adam_epsilon,
            optim="adamw_torch_fused",
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            max_length=training.max_sequence_length,
            packing=scenario.packing,
            packing_strategy="bfd",
            dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=training.seed,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def our_rows(job: Any, steps: int) -> tuple[list[dict[str, list[int]]], list[int]]:
    """The rows of so many steps in our order, as TRL wants them, and the real tokens of each step."""
    from finetune_trainer.bases import prepare_base
    from finetune_trainer.data.loading import load_examples
    from finetune_trainer.data.order import data_order
    from finetune_trainer.data.packed import PackedDataset
    from finetune_trainer.data.recipes import prepare

    spec = job.spec

    def examples() -> list[Any]:
        return load_examples(spec.dataset, spec.dataset.train, job.paths.train)

    tokenizer, _ = prepare_base(job, examples)
    data, _ = prepare(job, examples, tokenizer)
    order = data_order(job, data)
    if steps > order.steps_per_epoch:
        raise AssertionError(
            f"{steps} steps are more than an epoch ({order.steps_per_epoch}): fillers would be rows"
        )
    rows = []
    for step in range(steps):
        for index in order.step(step):
            sample = data[index]
            row = {"input_ids": sample["input_ids"].tolist(), "labels": sample["labels"].tolist()}
            if isinstance(data, PackedDataset):
                row["seq_lengths"] = [len(data.records[member]["input_ids"]) for member in data.packs[index]]
            rows.append(row)
    return rows, [data.tokens_in(order.step(step)) for step in range(steps)]
