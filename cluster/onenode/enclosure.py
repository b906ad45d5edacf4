"""The node's own process, mount, network and host-name namespaces, as a container has them.

Everything on the node runs inside. Its processes, mounts, pod networks and firewall rules therefore end with
the enclosure's first process, whatever state they are in, and nothing of the host's is touched from inside.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onenode import network, paths
from onenode.binaries import binary
from onenode.daemons import Daemon, DaemonError, spawn, wait_until
from onenode.debian import CNI_PLUGINS, CONTAINERD, RUNC
from onenode.journal import Journal

MARKER = "ONENODE_CLUSTER"
"""Environment variable that every process of a node carries; its value is the node's state folder."""

_PRIVATE_FOLDERS = {
    "/var/lib/kubelet": "kubelet",
    "/var/lib/cni": "pod-addresses",
    "/var/log/pods": "pod-logs",
    "/var/log/containers": "container-logs",
    "/run/containerd": "shims",
}
"""Where Kubernetes insists on writing, and the folder of the cluster's state that lies there inside."""

_KUBELET_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet would set without a word, and nobody would set back."""

_READY = paths.RUN / "enclosure"
"""Names the first process of an enclosure that was set up completely."""


@dataclass(frozen=True)
class NodeProcess:
    """A process that carries the marker of a node, as the host sees it."""

    pid: int
    cluster: Path
    program: str
    depth: int
    """In how many process namespaces it lives: 1 outside of the enclosure, 2 inside, 3 in a pod."""
    inner_pid: int
    """Its id in the innermost of them."""


def processes(cluster: Path | None = None) -> Iterator[NodeProcess]:
    """All processes of the node whose state folder is `cluster`, or of every node on the machine."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            found = _node_process(folder)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if found is not None and cluster in (None, found.cluster):
            yield found


def first_process() -> int | None:
    """The enclosure's first process as the host numbers it, or None when there is no enclosure."""
    inside = (
        process for process in processes(paths.CLUSTER) if process.depth == 2 and process.inner_pid == 1
    )
    return next((process.pid for process in inside), None)


def foreign_node() -> Path | None:
    """The state folder of a node that somebody else runs under our number, and so with our control group,
    network device, addresses and sockets; None when these are ours to make and to remove."""
    others = (process.cluster for process in processes() if process.cluster != paths.CLUSTER)
    return next((cluster for cluster in others if cluster.name == paths.CLUSTER.name), None)


def is_complete() -> bool:
    """Whether an enclosure runs that was set up to the end."""
    pid = first_process()
    return pid is not None and _READY.is_file() and _READY.read_text() == str(pid)


def open_enclosure(journal: Journal) -> None:
    """Creates the enclosure and connects it to the host; changes to the host go into `journal` first."""
    for target in _PRIVATE_FOLDERS:
        journal.create_folder(Path(target))
    for setting, value in _KUBELET_SETTINGS.items():
        journal.set_kernel(setting, value)
    program = binary("pause")
    pause = Daemon("enclosure", (str(program),))
    namespaces = (
        "--mount",
        "--net",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--mount-proc",
        "--kill-child=KILL",
    )
    running = spawn(pause, paths.LOGS, prefix=("unshare", *namespaces, "--"), environment=environment())
    # not just any first process: while `unshare` becomes `pause`, /proc shows it without an environment
    wait_until(lambda: find(program) is not None, "start of the enclosure", seconds=10, alive=[running])
    pid = first_process()
    assert pid is not None
    network.connect(pid, journal)
    run("sh", "-euc", _SETUP, "setup", network.NODE_ADDRESS, str(paths.CLUSTER), *_binds())
    paths.RUN.mkdir(parents=True, exist_ok=True)
    _READY.write_text(str(pid))


_SETUP = f"""
echo onenode > /proc/sys/kernel/hostname
ip link set lo up
ip address add "$1/30" dev eth0
ip link set eth0 up
ip route add default via {network.HOST_ADDRESS}
echo 1 > /proc/sys/net/ipv4/ip_forward
mount --make-rshared /
state=$2
shift 2
for bind in "$@"; do
    mkdir -p "$state/${{bind#*:}}"
    mount --bind "$state/${{bind#*:}}" "${{bind%%:*}}"
done
"""


def _binds() -> list[str]:
    return [f"{target}:{source}" for target, source in _PRIVATE_FOLDERS.items()]


def entry() -> tuple[str, ...]:
    """The words before a command that make it run inside.

    Raises:
        DaemonError: there is no enclosure.
    """
    pid = first_process()
    if pid is None:
        raise DaemonError("the node does not run. Start it with: python -m onenode up")
    return ("nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--")


def run(*command: str) -> str:
    """Runs a command inside to its end and returns its output.

    Raises:
        DaemonError: it failed; the message holds what it said.
    """
    result = subprocess.run(
        [*entry(), *command], env=environment(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise DaemonError(f"{command[0]} failed inside the node: {result.stderr.strip()}")
    return result.stdout


def find(program: Path) -> int | None:
    """The process id of a daemon inside, by its program, or None when it does not run."""
    inside = (process for process in processes(paths.CLUSTER) if process.depth == 2)
    return next((process.pid for process in inside if process.program == str(program)), None)


def environment() -> dict[str, str]:
    """What the node's processes inherit: of the caller's, only what containerd needs to pull images."""
    programs = [CONTAINERD.folder, RUNC.folder, CNI_PLUGINS.folder, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")
    }
    return kept | {
        "PATH": os.pathsep.join(map(str, programs)),
        MARKER: str(paths.CLUSTER),
        "HOME": str(paths.CLUSTER),
    }


def _node_process(folder: Path) -> NodeProcess | None:
    values = dict(
        variable.split("=", 1) for variable in (folder / "environ").read_text().split("\0") if "=" in variable
    )
    if MARKER not in values:
        return None
    status = (folder / "status").read_text().splitlines()
    ids = next(line.split()[1:] for line in status if line.startswith("NSpid:"))
    program = (folder / "cmdline").read_text().split("\0", 1)[0]
    return NodeProcess(int(folder.name), Path(values[MARKER]), program, len(ids), int(ids[-1]))


def has_namespaces() -> bool:
    """Whether this process may create namespaces at all."""
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0
    )
