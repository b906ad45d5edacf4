"""Cores: the container's limit counts, not the machine's size."""

import os
from pathlib import Path

import pytest

from finetune_trainer import cpus
from finetune_trainer.cpus import set_threads, usable_cpus


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    for name in ("CPU_MAX", "CPU_QUOTA", "CPU_PERIOD"):
        monkeypatch.setattr(cpus, name, tmp_path / name)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("9900000 100000", 16),
    ],
)
def test_the_limit_of_a_container_is_respected(limit: str, expected: int) -> None:
    cpus.CPU_MAX.write_text(limit)
    assert usable_cpus() == expected


def test_the_older_cgroup_is_read_too() -> None:
    cpus.CPU_QUOTA.write_text("400000\n")
    cpus.CPU_PERIOD.write_text("100000\n")
    assert usable_cpus() == 4


def test_without_a_limit_all_cores_are_used() -> None:
    assert usable_cpus() == 16


def test_ranks_share_the_cores_unless_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    set_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "5"
    set_threads(1)
    assert os.environ["OMP_NUM_THREADS"] == "5"
