"""What can go wrong in a run, each with the exit code (and with it the reason) that the operator decides
by."""

import errno
from pathlib import Path

from finetune_api.result import ExitCode

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENXIO})
"""Errors of the system that speak of the volume, not of the program."""


OUT_OF_SPACE_SIGNS = (
    "no space left on device",
    "read-only file system",
    "disk quota exceeded",
    "stale file handle",
    "input/output error",
    "pytorchstreamwriter failed",
    "inline_container.cc",
)
"""Parts of messages by which torch and safetensors say the same, in errors of their own."""


OUT_OF_MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "status_alloc_failed",
)
"""Parts of messages by which torch, CUDA's libraries and NCCL say that there is no memory left."""

SHARED_MEMORY_SIGNS = ("out of shared memory", "/dev/shm")  # noqa: S108 - read in messages, not written to
"""Parts of messages by which NCCL and data loaders say that /dev/shm is full."""


class TrainerError(Exception):
    """A failure whose cause is known. The message names the field, the value, the rule and the way out."""

    exit_code = ExitCode.CRASHED


class InvalidConfigError(TrainerError):
    """The spec asks for something that cannot be: no retry helps."""

    exit_code = ExitCode.INVALID_CONFIG


class DataError(TrainerError):
    """A record cannot be used; the message names file, line and what is wrong."""

    exit_code = ExitCode.DATA_ERROR


class OutOfMemoryError(TrainerError):
    """The device or the container ran out of memory."""

    exit_code = ExitCode.OUT_OF_MEMORY


class DivergedError(TrainerError):
    """Loss or gradient is no longer a number; the message names the step and its records."""

    exit_code = ExitCode.DIVERGED


class StorageError(TrainerError):
    """The volume with checkpoints and outputs cannot be written or read."""

    exit_code = ExitCode.STORAGE_ERROR


class ModelLoadError(TrainerError):
    """The base model or its tokenizer cannot be loaded."""

    exit_code = ExitCode.MODEL_LOAD_FAILED


class OutputInvalidError(TrainerError):
    """What was written does not load, or does not compute what was trained."""

    exit_code = ExitCode.OUTPUT_INVALID


class InterruptedRunError(TrainerError):
    """The run was told to stop, and did so at a step boundary with a checkpoint."""

    exit_code = ExitCode.INTERRUPTED


class PeerLostError(TrainerError):
    """Another rank is gone, so that this one cannot go on. The other rank knows why."""

    exit_code = ExitCode.PEER_LOST


PEER_LOST_SIGNS = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "timed out waiting",
    "gloo",
    "nccl",
    "remote process exited",
    "tcpstore",
    "socket timeout",
)
"""Parts of messages by which gloo, NCCL and the rendezvous store say that a rank is gone."""


def classify(error: BaseException, *, ranks: int, volume: Path | None = None) -> TrainerError:
    """The error in terms of this module, for a run of so many ranks that writes to a volume.

    A `TrainerError` is returned as it is. What nothing is known about becomes a `TrainerError` itself
    (exit code 1), which the operator may retry.
    """
    if isinstance(error, TrainerError):
        return error
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and _says_one_of(SHARED_MEMORY_SIGNS, error):
        # NCCL says of it what volumes say that have no room
        return InvalidConfigError(
            "resources.sharedMemory: /dev/shm, by which ranks and data loaders talk, is full: "
            f"{_told(text)}. Raise it"
        )
    if _says_that_memory_is_used_up(error):
        return OutOfMemoryError(
            f"{_told(text)}. Lower training.microBatchSize or training.maxSequenceLength, set "
            "training.gradientCheckpointing: full, or give the pod more memory (resources.memory)"
        )
    if _says_that_the_volume_is_at_fault(error, volume):
        return StorageError(f"{text}. The volume of checkpoints.storage must be writable and have room")
    if ranks > 1 and _says_that_a_peer_is_gone(error):
        return PeerLostError(f"another rank is gone: {text.splitlines()[0]}")
    return TrainerError(text)


def _says_one_of(signs: tuple[str, ...], error: BaseException) -> bool:
    return any(sign in str(error).lower() for sign in signs)


def _told(text: str) -> str:
    """The first line, and the last, where NCCL says what was wrong."""
    lines = text.strip().splitlines()
    return lines[0] if len(lines) == 1 or "nccl" not in text.lower() else f"{lines[0]} … {lines[-1]}"


def _says_that_memory_is_used_up(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _says_one_of(OUT_OF_MEMORY_SIGNS, error)


def _says_that_the_volume_is_at_fault(error: BaseException, volume: Path | None) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        named = Path(error.filename) if isinstance(error.filename, str) else None
        ours = volume is not None and named is not None and named.is_relative_to(volume)
        return ours or error.errno in OUT_OF_SPACE
    return _says_one_of(OUT_OF_SPACE_SIGNS, error)


def _says_that_a_peer_is_gone(error: BaseException) -> bool:
    if type(error).__name__ in {"DistBackendError", "DistNetworkError", "DistStoreError"}:
        return True
    return isinstance(error, RuntimeError) and _says_one_of(PEER_LOST_SIGNS, error)
