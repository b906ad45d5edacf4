"""Going on from a checkpoint of another layout: what is carried over, what is refused, and how it is told."""

import errno
import fcntl
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from finetune_api import ResolvedJob
from finetune_trainer.checkpoints import universal
from finetune_trainer.checkpoints.manifest import Manifest
from finetune_trainer.checkpoints.store import Checkpoint
from finetune_trainer.checkpoints.universal import Layout, carry_over
from finetune_trainer.checkpoints.universal_files import MOMENTS, NAMES_FILE, read, take_apart
from finetune_trainer.errors import InvalidConfigError
from finetune_trainer.training.exactness import exactness

MakeJob = Callable[..., ResolvedJob]

UNIVERSAL = {"checkpoints": {"universal": True}}
TWO_RANKS = {"distributed": {"processesPerNode": 2, "zeroStage": 2}}


def checkpoint(path: Path, *, ranks: int = 1, zero_stage: int = 0, deepspeed: bool = False) -> Checkpoint:
    path.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        job="j",
        job_uid="",
        attempt=1,
        lineage="",
        step=10,
        epoch=1.0,
        world_size=ranks,
        zero_stage=zero_stage,
        deepspeed=deepspeed,
        time=datetime.now(UTC),
    )
    return Checkpoint(path, manifest)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints" / ".writing"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def of_one_process(tmp_path: Path) -> Checkpoint:
    """What one process without DeepSpeed writes for an adapter of two weights, of which the optimizer counts
    the second first."""
    found = checkpoint(tmp_path / "step-00000010")
    stored = {"m.lora_A.weight": torch.ones(2, 3), "m.lora_B.weight": torch.full((3, 2), 2.0)}
    save_file(stored, found.path / "adapter_model.safetensors")
    names = ["m.lora_B.default.weight", "m.lora_A.default.weight"]
    (found.path / NAMES_FILE).write_text(json.dumps(names))
    state = {
        number: {
            "step": torch.tensor(10.0),
            "exp_avg": torch.full(shape, number + 0.5),
            "exp_avg_sq": torch.full(shape, number + 0.25),
        }
        for number, shape in enumerate([(3, 2), (2, 3)])
    }
    torch.save({"state": state, "param_groups": []}, found.path / "optimizer.pt")
    return found


def test_the_same_layout_is_read_as_it_is(make_job: MakeJob, staging: Path, tmp_path: Path) -> None:
    same = checkpoint(tmp_path / "c", ranks=2, zero_stage=2, deepspeed=True)
    assert carry_over(same, make_job(TWO_RANKS), staging) is None


@pytest.mark.parametrize(
    ("ranks", "zero_stage", "deepspeed", "shown"),
    [
        (4, 2, True, "4 ranks under ZeRO stage 2"),
        (2, 3, True, "2 ranks under ZeRO stage 3"),
        (1, 0, False, "1 rank without DeepSpeed"),
    ],
)
def test_another_layout_is_refused_unless_it_is_asked_for(
    make_job: MakeJob, staging: Path, tmp_path: Path, ranks: int, zero_stage: int, deepspeed: bool, shown: str
) -> None:
    other = checkpoint(tmp_path / "step-00000010", ranks=ranks, zero_stage=zero_stage, deepspeed=deepspeed)
    with pytest.raises(InvalidConfigError) as refused:
        carry_over(other, make_job(TWO_RANKS), staging)
    assert str(refused.value) == (
        f"distributed: checkpoint step-00000010 was written by {shown}, this attempt has 2 ranks under ZeRO "
        "stage 2. Set checkpoints.universal: true to go on from it approximately, use the same layout, or "
        "start anew with checkpoints.resume: never"
    )


def test_ranks_that_share_out_nothing_read_one_another_s_checkpoints(
    make_job: MakeJob, staging: Path, tmp_path: Path
) -> None:
    job = make_job(UNIVERSAL | {"distributed": {"processesPerNode": 2, "engine": "torch"}})
    alone = checkpoint(tmp_path / "c")
    assert carry_over(alone, job, staging) is None
    assert exactness(alone, job, None).now is not None


def test_an_optimizer_with_other_state_is_refused_by_name(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint
) -> None:
    job = make_job(UNIVERSAL | TWO_RANKS | {"training": {"optimizer": "adamw8bit"}})
    with pytest.raises(InvalidConfigError, match=r"training\.optimizer: adamw8bit has other state"):
        carry_over(of_one_process, job, staging)


def test_every_weight_is_written_in_whole_under_its_own_name(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint
) -> None:
    place = carry_over(of_one_process, make_job(UNIVERSAL | TWO_RANKS), staging)
    assert place is not None
    folder = place / "zero" / "m.lora_A.default.weight"
    values = {kind: read(folder / f"{kind}.pt") for kind in ("fp32", *MOMENTS)}
    assert {kind: (tuple(value.shape), float(value[0, 0])) for kind, value in values.items()} == {
        "fp32": ((2, 3), 1.0),
        "exp_avg": ((2, 3), 1.5),
        "exp_avg_sq": ((2, 3), 1.25),
    }
    assert read(folder / "step.pt") == torch.tensor(10.0)


def test_what_is_carried_over_already_is_used(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint
) -> None:
    job = make_job(UNIVERSAL | TWO_RANKS)
    place = carry_over(of_one_process, job, staging)
    shutil.rmtree(of_one_process.path)
    assert carry_over(of_one_process, job, staging) == place


def test_what_a_process_that_was_killed_has_left_is_removed(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint
) -> None:
    (staging / ".universal-step-00000010.dead.tmp").mkdir()
    place = carry_over(of_one_process, make_job(UNIVERSAL | TWO_RANKS), staging)
    assert list(staging.iterdir()) == [place]


def test_without_locks_each_process_writes_under_a_name_of_its_own(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def overtaken(checkpoint: Path, staged: Path) -> None:
        monkeypatch.setattr(universal, "take_apart", take_apart)
        carry_over(of_one_process, job, staging)
        take_apart(checkpoint, staged)

    job = make_job(UNIVERSAL | TWO_RANKS)
    theirs = staging / ".universal-step-00000010.theirs.tmp"
    theirs.mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(universal, "take_apart", overtaken)
    place = carry_over(of_one_process, job, staging)
    assert sorted(staging.iterdir()) == sorted([place, theirs])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: (path / NAMES_FILE).unlink(), "optimizer_names.json"),
        (lambda path: (path / "adapter_model.safetensors").unlink(), "are not in its safetensors"),
        (lambda path: (path / NAMES_FILE).write_text('["one"]'), "2 states for 1 weights"),
        (lambda path: (path / "optimizer.pt").write_bytes(b"torn"), "Error"),
    ],
)
def test_a_checkpoint_that_cannot_be_taken_apart_is_named_with_the_reason(
    make_job: MakeJob, staging: Path, of_one_process: Checkpoint, spoil: Callable[[Path], Any], reason: str
) -> None:
    spoil(of_one_process.path)
    with pytest.raises(InvalidConfigError) as refused:
        carry_over(of_one_process, make_job(UNIVERSAL | TWO_RANKS), staging)
    told = str(refused.value)
    assert "checkpoint step-00000010, written by 1 rank without DeepSpeed, cannot be carried over to" in told
    assert reason in told
    assert "checkpoints.resume: never" in told
    assert [path.name for path in staging.iterdir() if not path.name.startswith(".")] == []


def test_an_optimizer_in_host_memory_is_another_layout(
    make_job: MakeJob, staging: Path, tmp_path: Path
) -> None:
    offloaded = {"processesPerNode": 2, "zeroStage": 2, "offload": {"optimizer": "cpu"}}
    other = checkpoint(tmp_path / "c", ranks=2, zero_stage=2, deepspeed=True)
    with pytest.raises(InvalidConfigError, match="this attempt has 2 ranks under ZeRO stage 2 with offload"):
        carry_over(other, make_job({"distributed": offloaded}), staging)


def test_a_layout_is_told_in_words() -> None:
    assert str(Layout(1, 1, True)) == "1 rank under ZeRO stage 1"
    assert str(Layout(3, 0, False)) == "3 ranks without DeepSpeed"
