"""A DeepSpeed configuration that another program's file names is read where it lies."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.foreign.importing import import_job

ZERO_3: dict[str, Any] = {
    "train_batch_size": "auto",
    "gradient_clipping": 1.0,
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto", "loss_scale": 0},
    "zero_optimization": {
        "stage": 3,
        "reduce_bucket_size": "auto",
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
    },
    "zero_allow_untested_optimizer": True,
}


def imported(directory: Path, key: str, configuration: object) -> tuple[dict[str, Any], str]:
    """The job's `distributed`, and what is said of the key."""
    (directory / "zero.json").write_text(
        configuration if isinstance(configuration, str) else json.dumps(configuration)
    )
    file = directory / "config.yaml"
    file.write_text(f"base_model: org/model\n{key}: zero.json\n")
    manifest, reading = import_job(str(file), [], "axolotl", "job")
    return manifest["spec"].get("distributed", {}), str(
        next(line for line in reading.lines if line.key == key)
    )


def test_stage_and_offload_are_fields_of_ours_and_the_rest_is_kept(tmp_path: Path) -> None:
    distributed, line = imported(tmp_path, "deepspeed", ZERO_3)
    assert distributed == {
        "zeroStage": 3,
        "offload": {"optimizer": "cpu"},
        "deepspeedConfig": {
            "zero_optimization": {"offload_optimizer": {"device": "cpu", "pin_memory": True}},
            "zero_allow_untested_optimizer": True,
        },
    }
    assert "distributed.zeroStage" in line


def test_a_file_that_only_names_the_stage_leaves_nothing_raw(tmp_path: Path) -> None:
    assert imported(tmp_path, "deepspeed", {"zero_optimization": {"stage": 2}})[0] == {"zeroStage": 2}


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_no_such_configuration_is_said(tmp_path: Path, text: str) -> None:
    distributed, line = imported(tmp_path, "deepspeed", text)
    assert distributed == {}
    assert "can't be read, or is no mapping in JSON" in line


def test_a_file_that_is_not_there_is_answered_with_the_fields(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("fine_tuning: {method: lora}\ndistributed: {deepspeed_config: config/ds_config.json}\n")
    _, reading = import_job(str(file), [], None, "job")
    (line,) = (line for line in reading.lines if line.key == "distributed.deepspeed_config")
    assert not line.mapped
    assert "config/ds_config.json is not here: set distributed.zeroStage" in line.note
