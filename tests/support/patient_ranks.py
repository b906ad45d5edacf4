"""Two ranks whose process group has a short timeout, and of which the first has much to do. They are forks of
`preloaded`."""

import datetime
import threading
from pathlib import Path

import torch.distributed as dist

from finetune_trainer import distributed
from finetune_trainer.distributed import on_first_rank

TIMEOUT_SECONDS = 1.0
WORK_SECONDS = 2.5


def long_work() -> str:
    """Takes longer than ranks wait in a collective."""
    threading.Event().wait(WORK_SECONDS)
    return "hashed"


def failing_work() -> str:
    """Ends with an error."""
    raise OSError("no such volume")


def patient_rank(rank: int, directory: Path, fails: bool) -> None:
    """One of the two: writes what it got, or the error that it ended with, into a file of its number."""
    distributed.BEAT_SECONDS = 0.2  # type: ignore[misc]  # the product's fits the shortest timeout of the API
    store = dist.FileStore(str(directory / "store"), 2)
    timeout = datetime.timedelta(seconds=TIMEOUT_SECONDS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timeout)
    try:
        told = on_first_rank(failing_work if fails else long_work)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        told = f"{type(error).__name__}: {error}"
    (directory / str(rank)).write_text(told, encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()
