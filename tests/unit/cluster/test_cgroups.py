"""The group of all pods, on a host with one tree of control groups (v2) and on one with a tree each (v1)."""

from pathlib import Path

import pytest

from onenode import cgroups, paths


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_MOUNT", tmp_path)
    return tmp_path


def test_on_v2_every_controller_that_pods_need_is_handed_down(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mount / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    written = []
    monkeypatch.setattr(Path, "write_text", lambda path, text: written.append((path, text)))
    cgroups.create()
    own = mount / paths.NAME
    assert own.is_dir()
    wanted = ("cpu", "cpuset", "memory", "pids")
    control = "cgroup.subtree_control"
    assert written == [(group / control, f"+{name}") for name in wanted for group in (mount, own)]


def test_on_v2_a_controller_that_is_not_there_is_named(mount: Path) -> None:
    (mount / "cgroup.controllers").write_text("cpu memory pids\n")
    (mount / "cgroup.subtree_control").write_text("")
    (mount / paths.NAME).mkdir()
    (mount / paths.NAME / "cgroup.subtree_control").write_text("")
    with pytest.raises(cgroups.CgroupError, match="does not offer the cgroup controller cpuset"):
        cgroups.create()


def test_on_v2_a_root_group_with_processes_is_told_with_the_way_out(mount: Path) -> None:
    (mount / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    (mount / "cgroup.subtree_control").mkdir()  # cannot be written, as the kernel's can't then
    with pytest.raises(cgroups.CgroupError, match="move its processes out of the root group"):
        cgroups.create()


def test_on_v1_there_is_a_group_in_each_tree_and_its_cpuset_is_the_parents(mount: Path) -> None:
    for controller, file in (("cpu,cpuacct", "cpu.shares"), ("cpuset", "cpuset.cpus"), ("memory", "tasks")):
        (mount / controller).mkdir()
        (mount / controller / "cgroup.procs").write_text("1\n")
        (mount / controller / file).write_text("0-1\n")
    (mount / "cpu").symlink_to("cpu,cpuacct")
    (mount / "cpuset" / "cpuset.mems").write_text("0\n")
    own = mount / "cpuset" / paths.NAME
    own.mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        (own / file).write_text("\n")  # as the kernel makes them
    cgroups.create()
    assert {path.parent.name for path in mount.glob(f"*/{paths.NAME}")} == {
        "cpu",
        "cpu,cpuacct",
        "cpuset",
        "memory",
    }
    assert (own / "cpuset.cpus").read_text() == "0-1\n"
    assert (own / "cpuset.mems").read_text() == "0\n"
