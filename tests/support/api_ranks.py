"""A program that uses the Python API, on several ranks: forks with the variables that torchrun sets."""

import os
import sys
import time
from pathlib import Path

from finetune_trainer.distributed import free_port
from preloaded import forked

SECONDS = 120.0

COUNTING = [[(start + place) % 16 for place in range(8)] for start in range(16)]
"""Sequences of token ids."""


def train_on_ranks(config: Path, ranks: int) -> list[int]:
    """Trains by a file of settings; the exit statuses of the ranks."""
    port = free_port()
    processes = [forked(_rank, config, rank, ranks, port) for rank in range(ranks)]
    deadline = time.monotonic() + SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode if process.exitcode is not None else -1 for process in processes]


def _rank(config: Path, rank: int, ranks: int, port: int) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    from finetune_trainer import Trainer, TrainingConfig

    trainer = Trainer(TrainingConfig.from_yaml(config), COUNTING)
    trainer.train()
    sys.exit(0)
