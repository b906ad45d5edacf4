"""What transformers is told follows from the spec, and what we decide ourselves is off."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api import ResolvedJob
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.model.precision import effective_precision
from finetune_trainer.training.arguments import training_arguments

MakeJob = Callable[..., ResolvedJob]


def test_batch_optimizer_and_duration_are_those_of_the_spec(make_job: MakeJob, tmp_path: Path) -> None:
    training = {"optimizer": "adafactor", "weightDecay": 0.1, "maxGradNorm": 0.5, "seed": 7, "maxSteps": 9}
    arguments = training_arguments(make_job({"training": training}), "fp32", tmp_path)
    assert arguments.per_device_train_batch_size == 2
    assert arguments.gradient_accumulation_steps == 2
    assert (arguments.optim, arguments.weight_decay, arguments.max_grad_norm) == ("adafactor", 0.1, 0.5)
    assert (arguments.max_steps, arguments.seed) == (9, 7)
    assert arguments.deepspeed is None


def test_nothing_is_saved_evaluated_or_reported_behind_our_back(make_job: MakeJob, tmp_path: Path) -> None:
    arguments = training_arguments(make_job(), "fp32", tmp_path)
    assert arguments.save_strategy == arguments.eval_strategy == "no"
    assert arguments.report_to == []
    assert arguments.logging_nan_inf_filter is False
    assert arguments.average_tokens_across_devices is True


def test_a_warm_up_is_a_share_of_the_steps_or_a_number_of_them(make_job: MakeJob, tmp_path: Path) -> None:
    share = make_job({"training": {"maxSteps": 100, "schedule": {"warmupRatio": 0.1}}})
    assert training_arguments(share, "fp32", tmp_path).get_warmup_steps(100) == 10
    number = make_job({"training": {"maxSteps": 100, "schedule": {"warmupRatio": 0.1, "warmupSteps": 3}}})
    assert training_arguments(number, "fp32", tmp_path).get_warmup_steps(100) == 3


def test_smoothing_and_noise_are_not_left_to_transformers(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job({"training": {"labelSmoothing": 0.1, "neftuneNoiseAlpha": 5.0}})
    arguments = training_arguments(job, "fp32", tmp_path)
    assert arguments.label_smoothing_factor == 0.0
    assert arguments.neftune_noise_alpha is None


@pytest.mark.parametrize(("asked", "expected"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_precision_on_cpu(make_job: MakeJob, asked: str, expected: str) -> None:
    assert effective_precision(make_job({"training": {"precision": asked}})) == expected


@pytest.mark.parametrize("asked", ["fp16", "tf32"])
def test_a_precision_that_cpus_do_not_have_is_refused(make_job: MakeJob, asked: str) -> None:
    job = make_job()
    training = job.spec.training.model_copy(update={"precision": asked})
    changed = job.model_copy(update={"spec": job.spec.model_copy(update={"training": training})})
    with pytest.raises(InvalidConfigError, match=f"training.precision: {asked} needs an NVIDIA GPU"):
        effective_precision(changed)


def test_the_data_loader_is_set_up_as_asked(make_job: MakeJob, tmp_path: Path) -> None:
    asked = {"dataLoader": {"workers": 2, "prefetchFactor": 4, "pinMemory": False}}
    arguments = training_arguments(make_job({"training": asked}), "fp32", tmp_path)
    assert arguments.dataloader_num_workers == 2
    assert arguments.dataloader_prefetch_factor == 4
    assert arguments.dataloader_pin_memory is False
