"""Somebody else's node under our number: neither started over nor torn down."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onenode import cluster, enclosure, paths
from onenode.daemons import wait_until


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our node is one that nobody has: no test of a real node is disturbed."""
    folder = tmp_path / "ours" / "finetune-operator" / "cluster-unit-test"
    monkeypatch.setattr(paths, "CLUSTER", folder)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """A process of somebody else's node."""
    folder = tmp_path / "theirs" / "finetune-operator" / "cluster-unit-test"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={enclosure.MARKER: str(folder)}) as process:
        # for a moment after exec, /proc shows a process without an environment
        environment = Path(f"/proc/{process.pid}/environ")
        wait_until(lambda: environment.read_bytes() != b"", "its environment", seconds=10)
        yield folder
        assert process.stdin is not None
        process.stdin.close()


def test_a_foreign_node_is_named_with_the_ways_out(ours: Path, theirs: Path) -> None:
    with pytest.raises(cluster.ClusterError) as refusal:
        cluster.require_no_foreign_node()
    assert str(theirs) in str(refusal.value)
    assert f"XDG_CACHE_HOME={theirs.parent.parent} python -m onenode down" in str(refusal.value)
    assert "ONENODE_INSTANCE=1" in str(refusal.value)


def test_our_own_node_is_not_foreign(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CLUSTER", theirs)
    cluster.require_no_foreign_node()


def test_a_node_with_another_number_is_not_in_the_way(
    ours: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "CLUSTER", ours.with_name("cluster-unit-test-2"))
    cluster.require_no_foreign_node()
