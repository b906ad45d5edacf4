"""The ranks as one: starting the process group, and agreeing on a few values."""

import datetime
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist

from finetune_api.resolved import ResolvedJob
from finetune_trainer.errors import PeerLostError

Value = TypeVar("Value")

BEAT_SECONDS: Final = 2.0
"""How long ranks wait in one collective for the work of the first one; far below the shortest
`distributed.timeoutSeconds`."""


def free_port() -> int:
    """A TCP port on this host that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def rank() -> int:
    """This process' number among all ranks."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """This process' number among the ranks of its node."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def communication(job: ResolvedJob) -> str:
    """The library that ranks talk by: as asked for, else NCCL on CUDA and gloo on CPU."""
    asked = job.spec.distributed.backend
    if asked != "auto":
        return asked
    return "nccl" if job.device == "cuda" else "gloo"


def start_process_group(job: ResolvedJob) -> None:
    """Joins all ranks (NCCL on CUDA, gloo on CPU), with the timeout of the spec instead of the library's.

    NCCL is told the rank's GPU, as by DeepSpeed, rather than left to guess it. A single rank is a group of
    one, which DeepSpeed wants too. Raises `torch.distributed.DistNetworkError` and the like when ranks do not
    come.
    """
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}.items():
        os.environ.setdefault(name, value)
    if "MASTER_ADDR" not in os.environ:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    timeout = datetime.timedelta(seconds=job.spec.distributed.timeout_seconds)
    backend = communication(job)
    device = torch.device("cuda", local_rank()) if backend == "nccl" else None
    dist.init_process_group(backend, timeout=timeout, device_id=device)


def end_process_group() -> None:
    """Leaves the group, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def barrier() -> None:
    """Waits until every rank is here."""
    if dist.get_world_size() > 1:
        dist.barrier()


def on_first_rank(work: Callable[[], Value]) -> Value:
    """What `work` returns on rank 0, on every rank; it must be picklable. All ranks call it alike.

    However long the work takes (a checkpoint of hundreds of gigabytes is hashed), no timeout of the process
    group ends the others: while it goes on, on a thread, they are told so every `BEAT_SECONDS`. A rank 0 that
    is gone is noticed as in any collective.

    Raises on rank 0 what `work` raises, and `PeerLostError` on the others.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return work()
    if dist.get_rank() == 0:
        with ThreadPoolExecutor(1, thread_name_prefix="first-rank") as pool:
            future = pool.submit(work)
            while not wait([future], BEAT_SECONDS).done:
                _tell(over=False)
        failed = future.exception() is not None
        _tell(over=True, failed=failed, value=None if failed else future.result())
        return future.result()
    while not (told := _tell())["over"]:
        pass
    if told["failed"]:
        raise PeerLostError("rank 0 could not do what the others waited for; its own error says why")
    value: Value = told["value"]
    return value


def _tell(*, over: bool = False, failed: bool = False, value: object = None) -> dict[str, Any]:
    """Rank 0's arguments, on every rank."""
    box = [{"over": over, "failed": failed, "value": value}]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """For each flag, whether it is true on any rank: one small all-reduce."""
    if dist.get_world_size() == 1:
        return flags
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    votes = torch.tensor(flags, dtype=torch.int32, device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return tuple(bool(vote) for vote in votes.tolist())


def sum_over_ranks(*values: float) -> tuple[float, ...]:
    """Sums in double precision over all ranks."""
    if dist.get_world_size() == 1:
        return values
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return tuple(sums.tolist())
