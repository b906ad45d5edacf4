"""Runs a Python program that nobody has read: for computing, and for nothing else.

Guaranteed on Linux on x86-64, for any user, also in a pod of the restricted profile:

- a seccomp filter lets through only the system calls of `SYSTEM_CALLS` (memory, time, reading files); all
  others are refused: no socket, so no network; no file is written, renamed or removed; no process is started,
  traced or signalled, and no thread;
- CPU seconds, memory and wall-clock time are limited, the process is killed at the end of them, and with the
  trainer;
- the environment is empty (no tokens), what is printed goes nowhere. One pipe leads out, for a word to us; it
  holds 64 KiB, and is read when the process has ended: who fills it waits for nobody.

The program can read what the trainer can read, but has no way to send it anywhere. Where the filter can't be
set up, nothing runs (`SandboxError`).
"""

import secrets
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from finetune_trainer.errors import TrainerError

CHILD: Final = Path(__file__).with_name("sandbox_child.py")
NO_FILTER: Final = 97
"""Exit status of a child that cannot be confined, and has said nothing. A program may end with it too."""

Verdict = Literal["passed", "failed", "timed out"]


class SandboxError(TrainerError):
    """Programs cannot be confined on this machine."""


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    cpu_seconds: int = 10
    wall_seconds: float = 20.0
    memory_bytes: int = 1 << 30


def run_program(program: str, limits: Limits = Limits()) -> Verdict:
    """Whether a program runs to its end without an exception. Raises `SandboxError`."""
    # only who comes to the end of the program says this word: to end the process early is no way to pass
    word = secrets.token_hex(16)
    bare_python = [sys.executable, "-I", "-S", "-B", str(CHILD)]
    process = subprocess.Popen(
        [*bare_python, str(limits.cpu_seconds), str(limits.memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    with process:
        _hand_over(f"{word}\n{program}".encode(), process.stdin)
        try:
            process.wait(limits.wall_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return "timed out"
        said = process.stdout.read() if process.stdout is not None else b""
    if process.returncode == NO_FILTER and not said:
        raise SandboxError(
            "evaluation.benchmarks: humanEval needs a Linux kernel on x86-64 with seccomp filters, to keep "
            "the model's programs from network and files. Remove the benchmark"
        )
    return "passed" if word.encode() in said else "failed"


def _hand_over(program: bytes, pipe: IO[bytes] | None) -> None:
    """The child reads all of it before it runs any of it."""
    with suppress(BrokenPipeError):
        if pipe is not None:
            with pipe:
                pipe.write(program)
