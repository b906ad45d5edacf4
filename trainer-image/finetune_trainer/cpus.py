"""How many CPU cores a rank may use."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where the kernel's control groups are mounted: one tree (cgroup v2), or one for each controller (v1)."""
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Cores for this process, at least 1: the machine's, within the limits of its control groups (v2 or v1).

    What a container requests (its share, where others want the same cores) is no limit, and does not count.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, int(min([cores, *_limits()])))


def set_threads(ranks_on_this_node: int) -> None:
    """Gives OpenMP this rank's share of the cores, unless the environment says otherwise.

    Call it before torch is imported. Without it torch takes as many threads as the machine has cores, which a
    container with a CPU limit pays for by being throttled.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // ranks_on_this_node)))


def _limits() -> Iterator[float]:
    """The limits, in cores, of this process's control group and of all above it that can be seen."""
    unified = (CGROUPS / "cgroup.controllers").exists()
    mount = CGROUPS if unified else CGROUPS / "cpu"
    own = mount / _own_path("" if unified else "cpu")
    for group in (own, *own.parents):
        if (limit := _limit_v2(group) if unified else _limit_v1(group)) is not None:
            yield limit
        if group == mount:
            return


def _own_path(controller: str) -> str:
    """The group, below its mount; in a container the mount shows that group itself, and not its path."""
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    groups = (line.split(":", 2) for line in lines)
    return next((path for _, names, path in groups if controller in names.split(",")), "").strip("/")


def _limit_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _limit_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if quota < 0 else quota / period
