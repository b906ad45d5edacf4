"""A script that knows nothing of us, only transformers, reports to the same status."""

from __future__ import annotations

from collections.abc import Callable

from live import Job

SubmitJob = Callable[..., Job]

SCRIPT = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

model = LlamaForCausalLM(LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    pad_token_id=0, bos_token_id=1, eos_token_id=2))
tokens = torch.randint(3, 64, (256, 16), generator=torch.Generator().manual_seed(0))
data = [{"input_ids": row, "labels": row} for row in tokens]
arguments = TrainingArguments(
    "/tmp/out", max_steps=200, per_device_train_batch_size=8, logging_steps=10, save_strategy="no",
    report_to="none", use_cpu=True)
Trainer(model, arguments, train_dataset=data).train()
"""


def test_a_stock_transformers_script_reports_through_the_protocol(submit: SubmitJob) -> None:
    job = submit("stock", {"resources": {"command": ["python", "-c", SCRIPT]}})

    status = job.await_condition("Complete", 120)

    assert status["progress"]["percent"] == 100
    assert float(status["metrics"]["loss"]) > 0
