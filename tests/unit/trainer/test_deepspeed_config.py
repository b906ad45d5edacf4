"""DeepSpeed's configuration follows from the spec; nothing is swapped or overruled silently."""

from typing import Any

import pytest

from finetune_api import ResolvedJob, parse_job, resolve
from finetune_api.deepspeed import uses_deepspeed
from finetune_api.distributed import DistributedSpec
from finetune_trainer.deepspeed_config import deepspeed_config
from finetune_trainer.errors import InvalidConfigError


def job(distributed: dict[str, Any], training: dict[str, Any] | None = None) -> ResolvedJob:
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "j"},
        "spec": {
            "model": {"path": "/m"},
            "dataset": {"train": {"path": "/d"}},
            "training": {"microBatchSize": 2, "gradientAccumulationSteps": 4, **(training or {})},
            "distributed": {"processesPerNode": 2, **distributed},
        },
    }
    return resolve(parse_job(manifest), 1, run_directory="/r")


@pytest.mark.parametrize(
    ("spec", "ranks", "expected"),
    [
        ({}, 1, False),
        ({}, 2, True),
        ({"zeroStage": 2}, 1, True),
        ({"zeroStage": 1, "offload": {"optimizer": "cpu"}}, 1, True),
        ({"deepspeedConfig": {"zero_optimization": {}}}, 1, True),
        ({"engine": "torch"}, 4, False),
        ({"engine": "deepspeed"}, 1, True),
    ],
)
def test_deepspeed_is_used_where_there_is_something_to_share_or_it_is_asked_for(
    spec: dict[str, Any], ranks: int, expected: bool
) -> None:
    assert uses_deepspeed(DistributedSpec.from_json_object(spec), ranks) is expected


def test_batch_accumulation_and_clipping_are_those_of_the_spec() -> None:
    config = deepspeed_config(job({"zeroStage": 2}, {"maxGradNorm": 0.5}), "fp32")
    assert config["train_micro_batch_size_per_gpu"] == 2
    assert config["gradient_accumulation_steps"] == 4
    assert config["gradient_clipping"] == 0.5


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_stage_is_that_of_the_spec(stage: int) -> None:
    zero = deepspeed_config(job({"zeroStage": stage}), "fp32")["zero_optimization"]
    assert isinstance(zero, dict)
    assert zero["stage"] == stage
    assert zero.get("stage3_gather_16bit_weights_on_model_save", False) is (stage == 3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_arithmetic_is_the_effective_one(precision: Any) -> None:
    config = deepspeed_config(job({"zeroStage": 2}), precision)
    enabled = {name for name in ("bf16", "fp16") if config[name]["enabled"]}  # type: ignore[index,call-overload]
    assert enabled == {precision} - {"fp32"}


def test_optimizer_and_parameters_are_offloaded_when_asked_for() -> None:
    config = deepspeed_config(
        job({"zeroStage": 3, "offload": {"optimizer": "cpu", "parameters": "cpu"}}), "bf16"
    )
    zero = config["zero_optimization"]
    assert isinstance(zero, dict)
    assert zero["offload_optimizer"] == zero["offload_param"] == {"device": "cpu", "pin_memory": False}
    assert config["zero_force_ds_cpu_optimizer"] is True


def test_an_optimizer_that_offload_would_replace_is_refused() -> None:
    asked = job({"zeroStage": 2, "offload": {"optimizer": "cpu"}})
    training = asked.spec.training.model_copy(update={"optimizer": "lion8bit"})
    changed = asked.model_copy(update={"spec": asked.spec.model_copy(update={"training": training})})
    with pytest.raises(InvalidConfigError, match=r"would replace training.optimizer: lion8bit"):
        deepspeed_config(changed, "fp32")


def test_an_optimizer_that_raw_offload_would_replace_is_refused() -> None:
    raw = {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}}
    asked = job({"zeroStage": 2, "deepspeedConfig": raw})
    assert deepspeed_config(asked, "fp32")["zero_force_ds_cpu_optimizer"] is True
    training = asked.spec.training.model_copy(update={"optimizer": "lion8bit"})
    changed = asked.model_copy(update={"spec": asked.spec.model_copy(update={"training": training})})
    with pytest.raises(InvalidConfigError, match=r"would replace training.optimizer: lion8bit"):
        deepspeed_config(changed, "fp32")


def test_a_raw_configuration_may_repeat_the_spec() -> None:
    asked = job(
        {
            "zeroStage": 2,
            "deepspeedConfig": {"zero_optimization": {"stage": "auto"}, "bf16": {"enabled": True}},
        }
    )
    size = asked.effective_batch_size
    raw = {**(asked.spec.distributed.deepspeed_config or {}), "train_batch_size": size}
    config = deepspeed_config(job({"zeroStage": 2, "deepspeedConfig": raw}), "bf16")
    assert config["train_batch_size"] == size
    assert config["zero_optimization"]["stage"] == 2  # type: ignore[index,call-overload]


def test_an_experts_configuration_is_laid_over_ours() -> None:
    raw = {
        "zero_optimization": {"reduce_bucket_size": 5, "stage": 2},
        "prescale_gradients": True,
        "bf16": "auto",
    }
    config = deepspeed_config(job({"zeroStage": 2, "deepspeedConfig": raw}), "fp32")
    assert config["prescale_gradients"] is True
    assert config["bf16"] == {"enabled": False}
    zero = config["zero_optimization"]
    assert isinstance(zero, dict)
    assert (zero["reduce_bucket_size"], zero["stage"], zero["contiguous_gradients"]) == (5, 2, True)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"gradient_clipping": 9.0}, "distributed.deepspeedConfig.gradient_clipping: 9.0"),
        ({"train_micro_batch_size_per_gpu": 7}, "train_micro_batch_size_per_gpu: 7"),
        ({"optimizer": {"type": "Lion"}}, "distributed.deepspeedConfig.optimizer"),
        ({"zero_optimization": {"stage": 3}}, "zero_optimization.stage: 3 contradicts distributed.zeroStage"),
        ({"zero_optimization": 5}, "zero_optimization: 5 is a section"),
        ({"fp16": {"enabled": True}}, "deepspeedConfig.fp16"),
    ],
)
def test_a_raw_configuration_may_not_contradict_the_spec(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfigError, match=field):
        deepspeed_config(job({"zeroStage": 2, "deepspeedConfig": raw}), "fp32")
