"""What other programs say of a schedule beside its name."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.foreign.importing import import_job

MODEL = {"model_name_or_path": "org/base", "stage": "sft", "dataset": "d", "max_steps": 100}


def imported(tmp_path: Path, **document: Any) -> tuple[dict[str, Any], str]:
    """The schedule of a job that is imported from LLaMA-Factory, and what is said of each key."""
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(MODEL | document))
    manifest, reading = import_job(str(file), [], "llamafactory", "job")
    return manifest["spec"]["training"]["schedule"], "\n".join(map(str, reading.lines))


@pytest.mark.parametrize("written", [dict, json.dumps])
@pytest.mark.parametrize(
    ("kind", "more", "path", "value"),
    [
        ("cosine_with_min_lr", {"min_lr": 5e-6}, "minLearningRateRatio", 0.1),
        ("cosine_with_min_lr", {"min_lr_rate": 0.2}, "minLearningRateRatio", 0.2),
        ("cosine_warmup_with_min_lr", {"warmup_lr_rate": 0.3}, "startLearningRateRatio", 0.3),
        ("cosine_with_restarts", {"num_cycles": 3}, "cycles", 3),
        ("polynomial", {"power": 2.0}, "power", 2.0),
        ("reduce_lr_on_plateau", {"patience": 4}, "patience", 4),
        ("warmup_stable_decay", {"num_decay_steps": 40}, "stableRatio", 0.5),
        ("warmup_stable_decay", {"num_stable_steps": 70}, "stableRatio", 0.7),
    ],
)
def test_is_a_field_of_the_job(
    tmp_path: Path, kind: str, more: dict[str, Any], path: str, value: float, written: Any
) -> None:
    settings = {"learning_rate": 5e-5, "warmup_steps": 10, "lr_scheduler_type": kind}
    schedule, said = imported(tmp_path, **settings, lr_scheduler_kwargs=written(more))
    assert schedule[path] == pytest.approx(value)
    ((name, given),) = more.items()
    assert f"lr_scheduler_kwargs.{name}: {given} → training.schedule.{path}" in said


def test_the_rate_that_the_program_takes_by_itself_counts(tmp_path: Path) -> None:
    more = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-5}}
    assert imported(tmp_path, **more)[0]["minLearningRateRatio"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("kind", "more", "why"),
    [
        ("cosine", {"num_cycles": 2.5}, "half a wave of the cosine"),
        ("linear", {"min_lr": 1e-6}, "only the cosine ends above nothing"),
        ("cosine_with_min_lr", {"min_lr": 1.0}, "above the learning rate"),
        ("cosine_with_min_lr", {"min_lr": "low"}, "not of the kind"),
        ("warmup_stable_decay", {"num_decay_steps": 400}, "not so many steps"),
        ("inverse_sqrt", {"timescale": 100}, "its default is used"),
        ("linear", "{torn", "its default is used"),
    ],
)
def test_what_has_no_field_is_said(tmp_path: Path, kind: str, more: Any, why: str) -> None:
    schedule, said = imported(tmp_path, lr_scheduler_type=kind, lr_scheduler_kwargs=more)
    assert schedule.keys() <= {"type", "warmupRatio"}
    (line,) = [line for line in said.splitlines() if line.startswith("lr_scheduler_kwargs")]
    assert "not mapped" in line
    assert why in line


def test_the_cosine_of_half_a_wave_needs_no_word(tmp_path: Path) -> None:
    _, said = imported(tmp_path, lr_scheduler_type="cosine", lr_scheduler_kwargs={"num_cycles": 0.5})
    assert "lr_scheduler_kwargs.num_cycles: 0.5 → nothing to set (as here)" in said
