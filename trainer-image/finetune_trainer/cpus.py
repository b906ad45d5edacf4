"""How many CPU cores a rank may use."""

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def usable_cpus() -> int:
    """Cores for this process: the machine's, within the container's limit (cgroup v2 or v1), at least 1."""
    cores = len(os.sched_getaffinity(0))
    limit = _limit()
    return cores if limit is None else max(1, min(cores, int(limit)))


def set_threads(ranks_on_this_node: int) -> None:
    """Gives OpenMP this rank's share of the cores, unless the environment says otherwise.

    Call it before torch is imported. Without it torch takes as many threads as the machine has cores, which a
    container with a CPU limit pays for by being throttled.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // ranks_on_this_node)))


def _limit() -> float | None:
    try:
        quota, period = CPU_MAX.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota, period = (file.read_text(encoding="ascii").strip() for file in (CPU_QUOTA, CPU_PERIOD))
        except OSError:
            return None
    if quota in {"max", "-1"}:
        return None
    return int(quota) / int(period)
