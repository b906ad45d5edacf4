"""Starts, describes and ends the one-node cluster."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from onenode import addons, binaries, cgroups, cleanup, debian, enclosure, network, node, paths, runtime
from onenode.control_plane import ControlPlaneLayout
from onenode.daemons import Daemon, Running, spawn, wait_until
from onenode.journal import Journal
from onenode.kubeconfig import shell_environment
from onenode.progress import say, step


class ClusterError(Exception):
    """The machine cannot carry a node; the message says what is missing."""


def up() -> None:
    """Starts whatever of the cluster does not run, and returns when it is ready for work.

    Raises:
        ClusterError, BuildError, PackageError, NetworkError, CgroupError, DaemonError, KubectlError: it
        cannot.
    """
    started = time.monotonic()
    with _locked():
        _prepare()
        with step("namespaces, network and containerd"):
            _start_runtime()
        layout = _layout()
        api = layout.api_server
        with step("control plane"):
            storage, server = _start(layout.etcd()), _start(layout.kube_apiserver())
            needed = [running for running in (storage, server) if running]
            wait_until(
                lambda: api.answers("/readyz"), "readiness of the API server", seconds=90, alive=needed
            )
            layout.write_kubeconfig()
        with step("node and add-ons"):
            daemons = [layout.kube_controller_manager(), layout.kube_scheduler(), node.kubelet(layout)]
            needed = [running for running in map(_start, daemons) if running]
            addons.apply()
            # kube-proxy ends itself when its node gets an address only after its start.
            wait_until(lambda: node.has_address(api), "registration of the node", seconds=60, alive=needed)
            needed += [running for running in (_start(node.kube_proxy(layout)),) if running]
            wait_until(
                addons.are_available, "readiness of node and add-ons", seconds=120, alive=needed, every=0.5
            )
    say(f"Kubernetes is up after {time.monotonic() - started:.0f} s. To use it:\n\n{shell_environment()}\n")


def containerd() -> None:
    """Starts containerd alone, to import images before the cluster is needed; `up` continues from there."""
    with _locked():
        _prepare()
        _start_runtime()


def down() -> None:
    """Ends the cluster and leaves nothing of it on the host but caches.

    Raises:
        ClusterError: we are not root, or the cluster is somebody else's.
    """
    require_root()
    require_no_foreign_node()
    with _locked(), step("ending the cluster"):
        cleanup.clean_up()


def status() -> int:
    """Prints what runs and what the cluster says of itself; returns 0 if it is ready, 1 if not."""
    if enclosure.first_process() is None:
        print("not running. Start it with: make cluster-up")
        return 1
    for program in _programs():
        process = next(
            (found for found in enclosure.processes(paths.CLUSTER) if found.program == program), None
        )
        name = program.rsplit("/", 1)[-1]
        print(f"{name:<26}{f'running, process {process.pid}' if process else 'NOT RUNNING'}")
    print(f"\nkubeconfig  {paths.KUBECONFIG}\nlogs        {paths.LOGS}\naudit log   {paths.AUDIT_LOG}\n")
    if not paths.KUBECONFIG.exists():
        print("containerd only; the cluster was not started")
        return 1
    try:
        print(addons.kubectl("get", "nodes,pods", "--all-namespaces", "-o", "wide"))
    except addons.KubectlError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if addons.are_available() else 1


def shell() -> None:
    """Replaces this process by a shell inside the node; raises DaemonError if there is none."""
    require_root()
    os.execvpe(
        "nsenter",
        [*enclosure.entry(), "sh"],
        enclosure.environment() | {"TERM": os.environ.get("TERM", "dumb")},
    )


def require_root() -> None:
    """Raises ClusterError unless this process may create namespaces."""
    if sys.platform != "linux":
        raise ClusterError(
            "the one-node cluster needs Linux. Elsewhere start a Docker engine: kind is used then."
        )
    if os.geteuid() != 0:
        raise ClusterError("the one-node cluster creates namespaces and network devices: run it as root.")


def require_no_foreign_node() -> None:
    """Raises ClusterError if a node of another cache folder (another user's, say) has our names: to clean up
    for ours would tear it down."""
    foreign = enclosure.foreign_node()
    if foreign is not None:
        raise ClusterError(
            f"another node with our names and addresses runs; its state is in {foreign}. End it with "
            f"XDG_CACHE_HOME={foreign.parent.parent} python -m onenode down, or choose another node with "
            "ONENODE_INSTANCE=1 (to 9)."
        )


def _prepare() -> None:
    require_root()
    require_no_foreign_node()
    debian.install_tools()
    for package in debian.UNPACKED:
        package.unpack()
    binaries.build()
    if not enclosure.has_namespaces():
        raise ClusterError(
            "this process may not create namespaces. In a container, run it privileged "
            "(CAP_SYS_ADMIN and CAP_NET_ADMIN)."
        )


def _start_runtime() -> None:
    if not enclosure.is_complete():
        # Whatever an interrupted start has left is not worth repairing: a fresh start takes seconds.
        cleanup.clean_up()
        paths.CLUSTER.mkdir(parents=True)
        cgroups.create()
        enclosure.open_enclosure(Journal.open(paths.JOURNAL))
    runtime.start()


def _layout() -> ControlPlaneLayout:
    return ControlPlaneLayout(
        folder=paths.CLUSTER,
        address=network.NODE_ADDRESS,
        advertised=True,
        service_range=network.SERVICE_RANGE,
        service_address=network.KUBERNETES_ADDRESS,
    )


def _start(daemon: Daemon) -> Running | None:
    """Starts a daemon inside; None if it runs already."""
    if node.is_running(daemon):
        return None
    return spawn(daemon, paths.LOGS, prefix=enclosure.entry(), environment=enclosure.environment())


def _programs() -> Iterator[str]:
    yield str(debian.CONTAINERD.folder / "containerd")
    yield str(debian.ETCD.folder / "etcd")
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"):
        yield str(binaries.binary(name).resolve())


@contextmanager
def _locked() -> Iterator[None]:
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with (paths.CACHE / ".onenode.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
