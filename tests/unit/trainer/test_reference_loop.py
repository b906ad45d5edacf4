"""The trainer's loss curve against the plainest loop there is: one record at a time, no padding, no
accumulation, torch alone."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_api import ResolvedJob
from finetune_trainer.bases import prepare_base
from finetune_trainer.data.dataset import TokenizedDataset
from finetune_trainer.data.examples import Example
from finetune_trainer.data.loading import load_examples
from finetune_trainer.data.recipes import prepare
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.engines import native
from finetune_trainer.interruption import StopRequest
from finetune_trainer.reporting import Reporter

MakeJob = Callable[..., ResolvedJob]

STEPS, WARMUP, BATCH = 12, 3, 4
TOLERANCE = 1e-5


def reference_curve(job: ResolvedJob, model_path: Path) -> list[float]:
    """Loss per step: the sum over all supervised tokens of the global batch, divided by their number."""
    training = job.spec.training

    def examples() -> list[Example]:
        return load_examples(job.spec.dataset, job.spec.dataset.train, job.paths.train)

    tokenizer, _ = prepare_base(job, examples)
    data, _ = prepare(job, examples, tokenizer)
    order = GlobalOrder(size=len(data), global_batch=BATCH, seed=training.seed)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    decayed = [weight for weight in model.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if weight.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    )
    curve = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate(step)
        sums, tokens = sum_of_losses(model, data, order.step(step), training.label_smoothing)
        loss = sums / tokens
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_grad_norm)
        optimizer.step()
        curve.append(loss.item())
    return curve


def sum_of_losses(
    model: torch.nn.Module, data: TokenizedDataset, indices: list[int], smoothing: float
) -> tuple[torch.Tensor, int]:
    total, tokens = torch.zeros(()), 0
    for index in indices:
        if index >= len(data):
            continue
        ids = torch.from_numpy(data[index]["input_ids"]).long()
        labels = torch.from_numpy(data[index]["labels"]).long()[1:]
        logits = model(input_ids=ids.unsqueeze(0)).logits[0, :-1]
        counted = labels != -100
        total = total + torch.nn.functional.cross_entropy(
            logits[counted], labels[counted], reduction="sum", label_smoothing=smoothing
        )
        tokens += int(counted.sum())
    return total, tokens


def rate(step: int) -> float:
    """Linear warm-up, then half a cosine."""
    if step < WARMUP:
        return step / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


@pytest.mark.parametrize(("cuts", "smoothing"), [(((1, 4), (4, 1), (2, 2)), 0.0), (((2, 2),), 0.1)])
def test_the_curve_is_that_of_a_plain_loop_however_the_batch_is_cut(
    make_job: MakeJob,
    tiny_model: Path,
    tmp_path: Path,
    write_jsonl: Callable[..., Path],
    cuts: tuple[tuple[int, int], ...],
    smoothing: float,
) -> None:
    # answers of 1 to 18 digits: a mean of means would differ. 18 records: an epoch's last step has fillers
    write_jsonl([{"instruction": f"say {n}", "output": "7" * n} for n in range(1, 19)])
    expected: list[float] = []
    for micro_batch, accumulation in cuts:
        job = make_job(
            {
                "training": {
                    "microBatchSize": micro_batch,
                    "gradientAccumulationSteps": accumulation,
                    "maxSteps": STEPS,
                    "schedule": {"warmupSteps": WARMUP},
                    "weightDecay": 0.1,
                    "labelSmoothing": smoothing,
                },
                "checkpoints": {"everySteps": 0},
            },
            run_directory=tmp_path / str(micro_batch),
        )
        expected = expected or reference_curve(job, tiny_model)
        try:
            native.train(job, Reporter([]), StopRequest())
        finally:
            native.end_process_group()
        lines = [
            json.loads(line)
            for line in (Path(job.paths.run_directory) / "metrics.jsonl").read_text().splitlines()
        ]
        assert [line["loss"] for line in lines] == pytest.approx(expected, rel=TOLERANCE)
        # e to the loss of smoothed labels is no perplexity
        assert all(("perplexity" in line) is (smoothing == 0.0) for line in lines)
    assert expected[-1] < 0.8 * expected[0]
