"""A node comes and goes without a trace, beside another one and whatever happens while it starts."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTANCE = "9"
"""A node of its own: the one that other tests use stays up beside it."""

WARM_START_SECONDS = 60.0

# Not one of these may differ afterwards.
FOLDERS = (
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
)
SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a node needs root")


@dataclass(frozen=True)
class Traces:
    """What a node could leave behind on a host."""

    processes: frozenset[str]
    mounts: frozenset[str]
    network_namespaces: frozenset[str]
    devices: frozenset[str]
    routes: frozenset[str]
    firewall: str
    cgroups: frozenset[str]
    folders: frozenset[str]
    settings: tuple[str, ...]


def traces() -> Traces:
    links = re.findall(r"^\d+: ([^:@]+)", _output("ip", "-oneline", "link"), re.MULTILINE)
    groups = Path("/sys/fs/cgroup").glob("*/finetune-onenode*")
    return Traces(
        processes=frozenset(_processes_with(f"finetune-onenode-{INSTANCE}", f"cluster-{INSTANCE}")),
        mounts=frozenset(
            mount
            for mount in _mounts()
            if "onenode" in mount or "finetune-operator" in mount or "kubelet" in mount
        ),
        network_namespaces=frozenset(_output("ip", "netns", "list").split()),
        devices=frozenset(link for link in links),
        routes=frozenset(_output("ip", "route").splitlines()),
        firewall=_output("nft", "list", "ruleset") if shutil.which("nft") else "",
        cgroups=frozenset(map(str, groups))
        | frozenset(map(str, Path("/sys/fs/cgroup").glob("finetune-onenode*"))),
        folders=frozenset(folder for folder in FOLDERS if Path(folder).exists())
        | frozenset(map(str, Path("/run").glob("finetune-onenode*"))),
        settings=tuple(Path("/proc/sys", setting).read_text().strip() for setting in SETTINGS),
    )


@pytest.fixture
def clean() -> Iterator[Traces]:
    """The host's state before the test; whatever the test does, the node is gone after it."""
    onenode("down")
    yield traces()
    onenode("down")


@pytest.fixture(scope="module", autouse=True)
def _no_images_kept() -> Iterator[None]:
    """The cache of this node's images is of no use to anyone else."""
    yield
    shutil.rmtree(_cache() / f"containerd-{INSTANCE}", ignore_errors=True)


def test_a_node_starts_warm_within_a_minute_and_leaves_nothing_behind(clean: Traces) -> None:
    onenode("build")
    started = time.monotonic()
    onenode("up")
    assert time.monotonic() - started < WARM_START_SECONDS
    assert onenode("status").count("NOT RUNNING") == 0
    running = traces()
    assert running.processes
    assert "onenode9" in running.devices
    assert "finetune_onenode_9" in running.firewall
    onenode("down")
    assert traces() == clean
    assert not (_cache() / f"cluster-{INSTANCE}").exists()


def test_starting_twice_keeps_the_node_that_runs(clean: Traces) -> None:
    onenode("up")
    before = traces().processes
    onenode("up")
    assert traces().processes >= before


@pytest.mark.parametrize("moment", ["namespaces", "control plane", "node and add-ons"])
def test_a_start_killed_in_the_middle_leaves_nothing_after_down(clean: Traces, moment: str) -> None:
    _kill_start_at(moment)
    onenode("down")
    assert traces() == clean


def test_a_start_after_a_killed_one_succeeds(clean: Traces) -> None:
    _kill_start_at("control plane")
    onenode("up")
    assert onenode("status").count("NOT RUNNING") == 0


def test_a_killed_daemon_is_started_again_by_up(clean: Traces) -> None:
    onenode("up")
    (process,) = [
        line.split()[-1] for line in onenode("status").splitlines() if line.startswith("kube-scheduler")
    ]
    os.kill(int(process), signal.SIGKILL)
    onenode("up")
    assert onenode("status").count("NOT RUNNING") == 0


def test_ending_twice_is_no_error(clean: Traces) -> None:
    onenode("down")
    onenode("down")


def _kill_start_at(moment: str) -> None:
    """Starts a node, and kills the starting process without warning once it announces `moment`."""
    with subprocess.Popen(
        [sys.executable, "-m", "onenode", "up"], env=_environment(), stderr=subprocess.PIPE, text=True
    ) as start:
        assert start.stderr is not None
        announced = any(moment in line for line in start.stderr)
        start.kill()
    assert announced


def onenode(verb: str) -> str:
    """Runs a verb of this test's node to its end and returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", "onenode", verb],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _environment() -> dict[str, str]:
    modules = str(Path(__file__).parents[2] / "cluster")
    return os.environ | {"PYTHONPATH": modules, "ONENODE_INSTANCE": INSTANCE, "ONENODE_PROVIDER": "processes"}


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-operator"


def _processes_with(*words: str) -> Iterator[str]:
    """`pid command` of every process that carries one of the words in its command line or environment."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or folder.name == str(os.getpid()):
            continue
        try:
            command = (folder / "cmdline").read_text().replace("\0", " ")
            environment = (folder / "environ").read_text()
        except OSError:
            continue
        if any(word in command or word in environment for word in words):
            yield f"{folder.name} {command}"


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield line.split()[4]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
