"""Removes every trace of a node from the host, in whatever state it is found."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from onenode import cgroups, enclosure, network, paths, runtime
from onenode.journal import Journal

_END_SECONDS = 20.0
"""How long killed processes may take to be gone."""


class CleanupError(Exception):
    """Something of the node refuses to go; the message names it."""


def clean_up() -> None:
    """Ends the node and puts the host back as it was; caches stay.

    Everything is found by what the kernel knows about it, not by what a start has written down: a start that
    was killed at any moment is cleaned up like a whole one.

    Raises:
        CleanupError, CgroupError: a process, mount or group refuses to go.
    """
    _end_processes()
    cgroups.remove()
    network.disconnect()
    _release_mounts()
    runtime.forget_containers()
    if not any(enclosure.processes()):
        # The last node to leave puts the host back: the others still need what was changed.
        Journal.open(paths.JOURNAL).undo()
    for folder in (paths.RUN, paths.CLUSTER):
        if folder.exists():
            shutil.rmtree(folder)


def _end_processes() -> None:
    deadline = time.monotonic() + _END_SECONDS
    while remaining := list(enclosure.processes(paths.CLUSTER)):
        # The end of the enclosure's first process is the end of all the others in it.
        for process in sorted(remaining, key=lambda process: (process.inner_pid != 1, process.pid)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            stuck = ", ".join(f"{process.program} ({process.pid})" for process in remaining)
            raise CleanupError(f"these processes do not end: {stuck}")
        time.sleep(0.05)


def _release_mounts() -> None:
    """Unmounts what lies under the node's folders; there is something only if someone mounted it by hand."""
    ours = (str(paths.RUN), str(paths.CLUSTER))
    targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for target in reversed(targets):
        if any(target == folder or target.startswith(f"{folder}/") for folder in ours):
            result = subprocess.run(["umount", target], capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise CleanupError(f"cannot unmount {target}: {result.stderr.strip()}")
