"""Room for checkpoints and the result is asked for before the start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api import ResolvedJob
from finetune_api.storage import OutputSpec
from finetune_trainer import space
from finetune_trainer.errors import StorageError
from finetune_trainer.space import Room, checkpoint_bytes, more_checkpoints, output_bytes, saves_to_come

MakeJob = Callable[..., ResolvedJob]


def test_a_checkpoint_holds_weights_and_what_the_optimizer_keeps() -> None:
    assert checkpoint_bytes(1000, 1000, "adamw", width=64, deepspeed=False) == 12_000
    assert checkpoint_bytes(1000, 1000, "adamw", width=64, deepspeed=True) == 16_000
    assert checkpoint_bytes(1000, 1000, "sgd", width=64, deepspeed=False) == 4_000
    assert checkpoint_bytes(1000, 100, "adamw", width=64, deepspeed=False) == 4_800, (
        "frozen layers are in it too"
    )
    assert checkpoint_bytes(1000, 1000, "adamw", width=64, weight_bytes=2, deepspeed=False) == 6_000
    assert checkpoint_bytes(1000, 1000, "scheduleFreeAdamw", width=64, deepspeed=False) == 16_000
    assert checkpoint_bytes(1000, 1000, "galoreAdamw", width=1024, deepspeed=False) == 4_000 + 3 * 4_000 // 8


@pytest.mark.parametrize(
    ("checkpoints", "start", "saves"),
    [
        ({"everySteps": 10}, 0, 4),  # 10, 20, 30 and the last one, 35
        ({"everySteps": 10}, 20, 2),
        ({"everySteps": 0}, 0, 1),
        ({"everySteps": 0, "atEpochEnd": True}, 0, 4),  # 10, 20, 30, 35
        ({"everySteps": 1, "atEpochEnd": True}, 0, 35),
        ({"everySteps": 0, "everyMinutes": 5}, 30, 5),
        ({"everySteps": 10}, 35, 0),
    ],
)
def test_the_checkpoints_that_are_to_come_are_counted(
    make_job: MakeJob, checkpoints: dict[str, Any], start: int, saves: int
) -> None:
    spec = make_job({"training": {"maxSteps": 35}, "checkpoints": checkpoints}).spec
    assert saves_to_come(spec, start=start, steps_per_epoch=10) == saves


@pytest.mark.parametrize(
    ("to_come", "keep", "best", "present", "more"),
    [
        (100, 3, False, 0, 4),  # three, and the one that is being written
        (100, 3, True, 0, 5),
        (2, 3, False, 0, 2),
        (100, 3, False, 3, 1),
        (100, 3, False, 9, 1),  # keep was lowered: the new one comes before the old ones go
        (0, 3, True, 3, 0),
    ],
)
def test_no_more_checkpoints_are_asked_for_than_lie_there_at_once(
    to_come: int, keep: int, best: bool, present: int, more: int
) -> None:
    assert more_checkpoints(to_come=to_come, keep=keep, best=best, present=present) == more


def result_bytes(*, adapter: bool, **output: Any) -> int:
    return output_bytes(
        OutputSpec(**output), trained=10, weights=1000, adapter=adapter, run="fp32", merged="bf16"
    )


def test_the_result_is_an_adapter_and_maybe_a_merged_model_or_a_whole_model() -> None:
    assert result_bytes(adapter=True) == 40
    assert result_bytes(adapter=True, merge_adapter=True) == 40 + 2000
    assert result_bytes(adapter=False) == 4000
    assert result_bytes(adapter=False, precision="bf16") == 4000 + 2000, "both are there for a while"
    assert result_bytes(adapter=False, max_shard_size_gb=1e-6) == 4000 + 4000


def test_a_volume_without_room_is_named_with_what_is_missing(tmp_path: Path) -> None:
    Room(checkpoint=1, checkpoints=4, output=1).check(tmp_path, tmp_path / "not" / "yet" / "there")
    too_much = Room(checkpoint=2**50, checkpoints=4, output=2**40)
    with pytest.raises(
        StorageError,
        match=r"^checkpoints\.storage: this run needs about 4,296,015,872\.0 MiB, and [\d,.]+ MiB are free: "
        r"4 more checkpoints at once, of 1,073,741,824\.0 MiB each .*, and 1,048,576\.0 MiB for the result",
    ):
        too_much.check(tmp_path, tmp_path / "output")


def test_a_volume_of_its_own_for_the_result_is_asked_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_volume_of", lambda directory: 1 if directory == tmp_path else 2)
    Room(checkpoint=1, checkpoints=1, output=1).check(tmp_path, tmp_path / "output")
    large_result = Room(checkpoint=1, checkpoints=1, output=2**50)
    with pytest.raises(StorageError, match=r"^output\.storage: .* free: 1,073,741,824\.0 MiB for the result"):
        large_result.check(tmp_path, tmp_path / "output")
    large_checkpoint = Room(checkpoint=2**50, checkpoints=1, output=1)
    with pytest.raises(StorageError, match=r"^checkpoints\.storage: .* free: 1 more checkpoints"):
        large_checkpoint.check(tmp_path, tmp_path / "output")
