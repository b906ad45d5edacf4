"""What the libraries raise, in our terms."""

import errno

import pytest
import torch

from finetune_api import ExitCode
from finetune_trainer.errors import DataError, classify


@pytest.mark.parametrize(
    ("error", "ranks", "code"),
    [
        (DataError("x"), 1, ExitCode.DATA_ERROR),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, ExitCode.OUT_OF_MEMORY),
        (MemoryError("cannot allocate"), 1, ExitCode.OUT_OF_MEMORY),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            1,
            ExitCode.OUT_OF_MEMORY,
        ),
        (RuntimeError("CUDA error: out of memory"), 1, ExitCode.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            1,
            ExitCode.OUT_OF_MEMORY,
        ),
        (
            torch.distributed.DistBackendError(
                "NCCL error in: ProcessGroupNCCL.cpp, unhandled cuda error\nLast error:\n"
                "Cuda failure 2 'out of memory'"
            ),
            2,
            ExitCode.OUT_OF_MEMORY,
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, ExitCode.OUT_OF_MEMORY),
        (
            torch.distributed.DistBackendError(
                "NCCL error, unhandled system error\nLast error:\nError while creating shared memory segment "
                "/dev/shm/nccl-x (size 9637888), error: No space left on device (28)"
            ),
            2,
            ExitCode.INVALID_CONFIG,
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
                "dataloader's workers are out of shared memory."
            ),
            1,
            ExitCode.INVALID_CONFIG,
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ExitCode.STORAGE_ERROR),
        (OSError(errno.EROFS, "Read-only file system"), 2, ExitCode.STORAGE_ERROR),
        (OSError(errno.ENOENT, "No such file"), 1, ExitCode.CRASHED),
        (
            RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [10.0.0.2]"),
            2,
            ExitCode.PEER_LOST,
        ),
        (
            RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [10.0.0.2]"),
            1,
            ExitCode.CRASHED,
        ),
        (torch.distributed.DistNetworkError("client socket has timed out"), 4, ExitCode.PEER_LOST),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 2, ExitCode.CRASHED),
        (ValueError("Connection closed by peer"), 2, ExitCode.CRASHED),
    ],
)
def test_each_error_has_the_exit_code_that_the_operator_decides_by(
    error: Exception, ranks: int, code: ExitCode
) -> None:
    assert classify(error, ranks=ranks).exit_code is code


def test_a_known_error_stays_itself() -> None:
    error = DataError("f.jsonl, line 3: …")
    assert classify(error, ranks=8) is error


def test_running_out_of_memory_says_what_to_change() -> None:
    text = str(classify(MemoryError("cannot allocate"), ranks=1))
    assert "training.microBatchSize" in text


def test_nccl_is_quoted_where_it_says_what_was_wrong() -> None:
    error = torch.distributed.DistBackendError(
        "NCCL error in x.cpp\nLast error:\nCuda failure 2 'out of memory'"
    )
    assert "Cuda failure 2 'out of memory'. Lower" in str(classify(error, ranks=2))


def test_full_shared_memory_names_its_field() -> None:
    error = RuntimeError("workers are out of shared memory")
    assert str(classify(error, ranks=1)).startswith("resources.sharedMemory: /dev/shm")
