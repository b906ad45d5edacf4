"""Cores: the container's limit counts, not the machine's size."""

import os
from pathlib import Path

import pytest

from finetune_trainer import cpus
from finetune_trainer.cpus import set_threads, usable_cpus


@pytest.fixture(autouse=True)
def cgroups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of sixteen cores; returns where its control groups are mounted, still empty."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cpus, "OWN_GROUPS", tmp_path / "own")
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def files(root: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("9900000 100000\n", 16),
    ],
)
def test_the_limit_of_a_container_is_respected(cgroups: Path, limit: str, expected: int) -> None:
    """cgroup v2: the container has a namespace of its own, and sees its group as the root."""
    files(
        cgroups, {"cgroup.controllers": "cpuset cpu io memory pids\n", "cpu.max": limit, "cpu.weight": "20\n"}
    )
    cpus.OWN_GROUPS.write_text("0::/\n")
    assert usable_cpus() == expected


def test_the_limit_of_a_group_above_counts_too(cgroups: Path) -> None:
    """cgroup v2 without a container, as systemd makes it; the root itself has no limit."""
    slices = "user.slice/user-1000.slice"
    content = {
        "cgroup.controllers": "cpuset cpu io memory pids\n",
        f"{slices}/session-2.scope/cpu.max": "max 100000\n",
        f"{slices}/cpu.max": "300000 100000\n",
        "user.slice/cpu.max": "800000 100000\n",
        "system.slice/cpu.max": "100000 100000\n",
    }
    files(cgroups, content)
    cpus.OWN_GROUPS.write_text(f"0::/{slices}/session-2.scope\n")
    assert usable_cpus() == 3


V1_GROUPS = """\
12:memory:/kubepods/burstable/pod7c1b/4f2a
5:cpu,cpuacct:/kubepods/burstable/pod7c1b/4f2a
1:name=systemd:/kubepods/burstable/pod7c1b/4f2a
0::/kubepods/burstable/pod7c1b/4f2a
"""


@pytest.mark.parametrize(("quota", "expected"), [("400000\n", 4), ("-1\n", 16), ("50000\n", 1)])
def test_the_older_cgroup_is_read_too(cgroups: Path, quota: str, expected: int) -> None:
    """cgroup v1: the container's group is mounted as the root, and its path is the node's."""
    own = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000\n", "cpu.shares": "512\n"}
    files(cgroups / "cpu,cpuacct", own)
    (cgroups / "cpu").symlink_to("cpu,cpuacct")
    files(cgroups / "unified", {"cgroup.controllers": "cpu\n"})
    cpus.OWN_GROUPS.write_text(V1_GROUPS)
    assert usable_cpus() == expected


def test_without_a_limit_all_cores_are_used() -> None:
    assert usable_cpus() == 16


def test_ranks_share_the_cores_unless_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    set_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "5"
    set_threads(1)
    assert os.environ["OMP_NUM_THREADS"] == "5"
