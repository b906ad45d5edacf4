"""The control group under which all pods live, on hosts with cgroup v1 as with v2."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from os import kill
from pathlib import Path

from onenode import paths

_MOUNT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
"""What kubelet cannot do without. It takes the others if they are there."""

_REMOVAL_SECONDS = 20.0

KUBELET_ROOT = f"/{paths.NAME}"
"""The group, as kubelet's `cgroupRoot` names it."""


class CgroupError(Exception):
    """The host's control groups cannot carry pods; the message says why."""


def create() -> None:
    """Creates the group with every controller that pods need.

    Raises:
        CgroupError: the controllers cannot be handed down.
    """
    if _is_v2():
        _create_v2()
    else:
        for hierarchy in _hierarchies():
            _create_v1(hierarchy / paths.NAME)


def remove() -> None:
    """Kills whatever is left in the group and removes it with all below it.

    Raises:
        CgroupError: the kernel still holds it after 20 seconds.
    """
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while remaining := [root for root in _roots() if root.exists()]:
        for root in remaining:
            # The deepest groups first: a group with children cannot be removed.
            for group in sorted((root, *root.rglob("*/")), key=lambda path: len(path.parts), reverse=True):
                _kill_members(group)
                with suppress(OSError):
                    group.rmdir()
        if time.monotonic() > deadline:
            raise CgroupError(f"the kernel does not let go of {', '.join(map(str, remaining))}")
        time.sleep(0.05)


def _roots() -> Iterator[Path]:
    for hierarchy in [_MOUNT] if _is_v2() else _hierarchies():
        yield hierarchy / paths.NAME


def _is_v2() -> bool:
    return (_MOUNT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """The mounted v1 hierarchies; `cpu,cpuacct` is one with two links to it."""
    return sorted({folder.resolve() for folder in _MOUNT.iterdir() if (folder / "cgroup.procs").exists()})


def _create_v1(group: Path) -> None:
    group.mkdir(exist_ok=True)
    # A new cpuset allows no CPU at all, and nothing can be put into it.
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (group / file).exists() and not (group / file).read_text().strip():
            (group / file).write_text((group.parent / file).read_text())


def _create_v2() -> None:
    group = _MOUNT / paths.NAME
    group.mkdir(exist_ok=True)
    offered = (_MOUNT / "cgroup.controllers").read_text().split()
    for controller in _CONTROLLERS:
        if controller not in offered:
            raise CgroupError(
                f"the kernel does not offer the cgroup controller {controller}. Enable it at boot."
            )
        for parent in (_MOUNT, group):
            try:
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError as error:
                raise CgroupError(
                    f"controller {controller} cannot be handed down from {parent}: {error.strerror}. In a "
                    "container, move its processes out of the root group; on a host, enable the controller."
                ) from error


def _kill_members(group: Path) -> None:
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                kill(int(pid), signal.SIGKILL)
