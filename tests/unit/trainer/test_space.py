"""Room for a checkpoint is asked for before the start."""

from pathlib import Path

import pytest

from finetune_trainer.errors import StorageError
from finetune_trainer.space import check_room, checkpoint_bytes


def test_a_checkpoint_holds_weights_and_what_the_optimizer_keeps() -> None:
    assert checkpoint_bytes(1000, "adamw", deepspeed=False) == 12_000
    assert checkpoint_bytes(1000, "adamw", deepspeed=True) == 16_000
    assert checkpoint_bytes(1000, "sgd", deepspeed=False) == 4_000


def test_a_volume_without_room_is_named_with_what_is_missing(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(StorageError, match=r"takes about 1,099,511,627,776\.0 MiB, and [\d,.]+ MiB are free"):
        check_room(tmp_path, 2**60)
