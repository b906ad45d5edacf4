"""A node's processes without the wait for imports: forks of a server that has imported the trainer once.

Importing PyTorch, transformers and DeepSpeed takes longer than what most tests of several ranks do. So
Python's fork server imports them once; a node (`finetune_trainer launch`) is a fork of it, and the ranks that
its launcher starts are forks of that node. All else is the product's: its command line, its launcher, torch's
watch over the ranks, process ids, signals, sessions and exit statuses. One test still starts everything
afresh.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = (
    "finetune_trainer.launcher",
    "finetune_trainer.rank",
    "datasets",
    "deepspeed.module_inject",
    "peft.tuners.lora",
    "transformers.integrations.deepspeed",
    "transformers.models.llama.modeling_llama",
)
"""Also what the trainer's libraries import only once they are at work."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(PRELOADED))


def forked(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that has imported the trainer already, and runs a function of a module that can be
    imported."""
    process = _server.Process(target=target, args=arguments)
    process.start()
    return process


class Node:
    """`python -m finetune_trainer ARGUMENTS` as a forked process, in a session of its own like a pod's."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = _server.Process(target=_node, args=(list(arguments), dict(environment), log))
        self._process.start()
        self.pid = _pid(self._process)

    def poll(self) -> int | None:
        """The exit status (negative: the signal), None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        return _wait(self._process, timeout)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


class Rank:
    """Stands in for `subprocess.Popen` where torch starts a rank: a fork of the launcher instead of a new
    Python."""

    def __init__(
        self,
        args: Sequence[str],
        env: Mapping[str, str],
        stdout: None,
        stderr: None,
        start_new_session: bool,
    ) -> None:
        python, flag, module, *arguments = args
        if (python, flag, module) != (sys.executable, "-m", "finetune_trainer"):
            raise AssertionError(f"the launcher started something else than a rank: {args}")
        if not (stdout is stderr is None and start_new_session):
            raise AssertionError("a forked rank writes where its launcher does, in a session of its own")
        self._process = multiprocessing.get_context("fork").Process(target=_be, args=(arguments, dict(env)))
        self._process.start()
        self.pid = _pid(self._process)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        return _wait(self._process, timeout)


def _node(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    vars(subprocess_handler)["Popen"] = Rank
    _be(arguments, environment)


def _be(arguments: list[str], environment: dict[str, str]) -> None:
    """Becomes what the command line says, as far as a fork can."""
    from finetune_trainer.__main__ import main

    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(arguments))


def _wait(process: BaseProcess, timeout: float | None) -> int:
    process.join(timeout)
    if process.exitcode is None:
        raise subprocess.TimeoutExpired(process.name, timeout or 0.0)
    return process.exitcode


def _pid(process: BaseProcess) -> int:
    if process.pid is None:
        raise AssertionError("a started process has an id")
    return process.pid
