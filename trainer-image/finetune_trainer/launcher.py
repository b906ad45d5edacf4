"""Starts and watches the ranks of one node, with the part of torchrun that does this.

`torch.distributed.elastic.multiprocessing` starts the processes, with torchrun's environment (`RANK`,
`WORLD_SIZE`, `MASTER_ADDR`, …). The rest of torchrun stays out on purpose: its agent ends the ranks 30
seconds after a SIGTERM (they get the whole grace period here, to save a checkpoint), makes every failure exit
status 1, and restarts ranks on their own, where the operator starts all nodes together again.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, PContext, start_processes
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from finetune_api.resolved import ResolvedJob
from finetune_api.result import ExitCode, TrainingResult
from finetune_trainer import results
from finetune_trainer.distributed import free_port
from finetune_trainer.errors import PeerLostError

log = logging.getLogger(__name__)

NODE_RANK_VARIABLE = "JOB_COMPLETION_INDEX"
"""Kubernetes numbers the pods of an Indexed Job with it."""

RESOLVE_SECONDS = 300.0
"""How long the name of node 0 may take to appear in DNS."""

CLOSE_SECONDS = 10
"""A rank that ends by SIGTERM or SIGKILL this long after the first failure did not do so on its own."""

MEMORY_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where cgroup v2 and v1 count processes that the kernel killed for memory."""


def launch(job: ResolvedJob, file: Path) -> ExitCode:
    """Runs this node's ranks to their end; returns the exit code that tells most about it.

    A SIGTERM is passed on to all ranks, which stop at the next step boundary.
    """
    message_file = results.termination_message_file()
    node = int(os.environ.get(NODE_RANK_VARIABLE, "0"))
    kills_before = oom_kills()
    try:
        address, port = rendezvous(job)
    except PeerLostError as error:
        log.error("%s", error)
        results.write_result(results.failure(error), message_file)
        return ExitCode.PEER_LOST
    # torchrun's own handlers would end the ranks at once
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"
    with tempfile.TemporaryDirectory(prefix="ranks-") as directory:
        messages = [Path(directory) / f"result-{local}.json" for local in range(job.processes_per_node)]
        ranks = start_processes(
            name="rank",
            entrypoint=sys.executable,
            args={
                local: ("-m", "finetune_trainer", "run", "--job", str(file))
                for local, _ in enumerate(messages)
            },
            envs={
                local: rank_environment(job, node, local, address, port)
                | {results.TERMINATION_MESSAGE_VARIABLE: str(message)}
                for local, message in enumerate(messages)
            },
            logs_specs=DefaultLogsSpecs(log_dir=directory),
        )
        pass_on_signals(ranks)
        outcome = ranks.wait(period=0.2)
        if outcome is None:
            raise AssertionError("waiting without a limit returned before the ranks ended")
        left = [result for message in messages if (result := results.read_result(message)) is not None]
    statuses = own_ends(outcome.failures.values())
    code = decide(statuses, killed_for_memory=oom_kills() > kills_before) if statuses else ExitCode.SUCCEEDED
    result = choose(code, statuses, left)
    if result is not None:
        results.write_result(result, message_file)
    return code


def rendezvous(job: ResolvedJob) -> tuple[str, int]:
    """Address and port where the ranks meet. A single node meets on a free port of its own.

    Raises `PeerLostError` when the name of node 0 does not appear in DNS in time.
    """
    if job.nodes == 1:
        return "127.0.0.1", free_port()
    address, port = job.master.address, job.master.port
    limit = min(RESOLVE_SECONDS, float(job.spec.distributed.timeout_seconds))
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.getaddrinfo(address, port)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PeerLostError(
                    f"node 0 ({address}) is not in DNS after {limit:.0f} s: {error}"
                ) from error
            time.sleep(0.5)
        else:
            return address, port


def rank_environment(job: ResolvedJob, node: int, local: int, address: str, port: int) -> dict[str, str]:
    """What torchrun would set for this rank, over this process' own environment."""
    return {
        **os.environ,
        "RANK": str(node * job.processes_per_node + local),
        "LOCAL_RANK": str(local),
        "GROUP_RANK": str(node),
        "WORLD_SIZE": str(job.world_size),
        "LOCAL_WORLD_SIZE": str(job.processes_per_node),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    }


def own_ends(failures: Iterable[ProcessFailure]) -> list[int]:
    """Exit statuses of failed ranks (negative: the signal), without those of ranks that were ended because
    another one had failed: these get a SIGTERM, and a SIGKILL half a minute later."""
    ordered = sorted(failures, key=lambda failure: failure.timestamp)
    return [
        failure.exitcode
        for failure in ordered
        if failure.exitcode not in {-signal.SIGTERM, -signal.SIGKILL}
        or failure.timestamp - ordered[0].timestamp < CLOSE_SECONDS
    ]


def decide(statuses: Iterable[int], *, killed_for_memory: bool) -> ExitCode:
    """The exit code of the node, from the exit statuses of its failed ranks (negative: the signal).

    A rank that knows what went wrong tells more than one that was killed, and that one more than ranks that
    stopped as told or lost a peer.
    """
    known = set(statuses)
    vague = {ExitCode.SUCCEEDED, ExitCode.CRASHED, ExitCode.INTERRUPTED, ExitCode.PEER_LOST}
    for code in ExitCode:
        if code in known and code not in vague:
            return code
    if killed_for_memory:
        return ExitCode.OUT_OF_MEMORY
    if known <= {ExitCode.INTERRUPTED, ExitCode.PEER_LOST, -signal.SIGTERM}:
        return ExitCode.INTERRUPTED if ExitCode.INTERRUPTED in known else ExitCode.PEER_LOST
    return ExitCode.CRASHED


def choose(code: ExitCode, statuses: list[int], left: list[TrainingResult]) -> TrainingResult | None:
    """The result of the node: that of a rank that ended with its code, else one made from what is known.

    None for a node other than the first when all is well.
    """
    for result in left:
        if result.exit_code == code:
            return result
    if code is ExitCode.SUCCEEDED:
        return None
    signals = sorted({signal.Signals(-status).name for status in statuses if status < 0})
    how = f"exit status {', '.join(map(str, sorted(set(statuses))))}"
    if signals:
        how = f"killed by {', '.join(signals)}"
    remedy = ""
    if code is ExitCode.OUT_OF_MEMORY:
        remedy = (
            ": the kernel ended it because the container's memory was used up. Raise resources.memory, or "
            "lower training.microBatchSize"
        )
    message = f"a rank ended ({how}){remedy}"
    bare = TrainingResult(outcome="failed", reason=code.reason, exit_code=int(code), message=message)
    if not left:
        return bare
    # a rank that lived a little longer knows how far the run had come
    known = {"outcome": "failed", "reason": code.reason, "exit_code": int(code), "message": message}
    return left[0].model_copy(update=known)


def pass_on_signals(ranks: PContext) -> None:
    """From now on SIGTERM and SIGINT go to the ranks."""

    def forward(number: int, _frame: FrameType | None) -> None:
        for pid in ranks.pids().values():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for memory; 0 where it cannot be known."""
    for file in MEMORY_EVENTS:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")
    return 0
