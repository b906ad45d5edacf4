"""containerd, with a configuration, socket and state of its own."""

import os
import subprocess
from pathlib import Path

from onenode import enclosure, network, paths, scratch_images
from onenode.daemons import Daemon, DaemonError, spawn, wait_until
from onenode.debian import CNI_PLUGINS, CONTAINERD

_CONFIGURATION = paths.CLUSTER / "containerd.toml"
_IN_USE = paths.CONTAINERD_ROOT / "in-use"
"""Says that containers of a cluster may be recorded beside the images."""

_CRI = "io.containerd.grpc.v1.cri"


def daemon() -> Daemon:
    return Daemon("containerd", (str(CONTAINERD.folder / "containerd"), "--config", str(_CONFIGURATION)))


def start() -> None:
    """Starts containerd inside the enclosure, unless it runs, and gives it the cluster's own images."""
    if enclosure.find(CONTAINERD.folder / "containerd") is None:
        _write_configuration()
        _IN_USE.touch()
        running = spawn(daemon(), paths.LOGS, prefix=enclosure.entry(), environment=enclosure.environment())
        wait_until(is_ready, "start of containerd", seconds=30, alive=[running])
    present = set(ctr("images", "list", "--quiet").split())
    images = {image.reference: image for image in scratch_images.all_images()}
    for reference in images.keys() - present:
        archive = images[reference].write(paths.CLUSTER / "images")
        ctr("images", "import", str(archive))
        archive.unlink()
    if superseded := [name for name in present - images.keys() if name.startswith(scratch_images.PREFIX)]:
        ctr("images", "delete", *superseded)


def is_ready() -> bool:
    """Whether containerd answers on its socket."""
    return paths.CONTAINERD_SOCKET.exists() and _ctr("version").returncode == 0


def ctr(*arguments: str) -> str:
    """Runs containerd's client in the namespace of Kubernetes and returns what it prints.

    Raises:
        DaemonError: it failed; the message is its own.
    """
    result = _ctr(*arguments)
    if result.returncode != 0:
        raise DaemonError(f"ctr {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def forget_containers() -> None:
    """Removes the containers that an ended cluster left in containerd's records; images stay.

    Without it the next cluster's kubelet would find pods that it has never heard of.
    """
    if not _IN_USE.exists():
        return
    configuration = paths.CLUSTER / "containerd-offline.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(_header(disabled=f'"{_CRI}"'))
    offline = Daemon(
        "containerd-offline", (str(CONTAINERD.folder / "containerd"), "--config", str(configuration))
    )
    running = spawn(offline, paths.LOGS, environment=enclosure.environment())
    try:
        wait_until(is_ready, "start of containerd", seconds=30, alive=[running])
        if containers := ctr("containers", "list", "--quiet").split():
            ctr("containers", "delete", *containers)
    finally:
        running.kill()
        paths.CONTAINERD_SOCKET.unlink(missing_ok=True)
    _IN_USE.unlink()


def _ctr(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(CONTAINERD.folder / "ctr"), f"--address={paths.CONTAINERD_SOCKET}"]
    command += [f"--namespace={paths.CONTAINERD_NAMESPACE}", *arguments]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)


def _header(disabled: str = "") -> str:
    unused = "".join(
        f', "io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs")
    )
    return f"""version = 2
root = "{paths.CONTAINERD_ROOT}"
state = "{paths.RUN}/containerd"
disabled_plugins = [{disabled or '"io.containerd.internal.v1.opt"'}{unused}]

[grpc]
  address = "{paths.CONTAINERD_SOCKET}"
"""


def _write_configuration() -> None:
    folder = _write_network_configuration()
    paths.CONTAINERD_ROOT.mkdir(parents=True, exist_ok=True)
    _CONFIGURATION.write_text(f"""{_header()}
[plugins."{_CRI}"]
  sandbox_image = "{scratch_images.reference("pause")}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE a container cannot be given a lower OOM score than containerd's own.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."{_CRI}".cni]
    bin_dir = "{CNI_PLUGINS.folder}"
    conf_dir = "{folder}"
  [plugins."{_CRI}".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."{_CRI}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."{_CRI}".containerd.runtimes.runc.options]
        Root = "{paths.RUN}/runc"
""")


def _write_network_configuration() -> Path:
    folder = paths.CLUSTER / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-pods.conflist").write_text(network.cni_configuration())
    return folder
