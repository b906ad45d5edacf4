"""Where everything of the one-node cluster lies. Nothing is ever written outside of these places."""

import os
from pathlib import Path

INSTANCE = int(os.environ.get("ONENODE_INSTANCE", "0"))
"""Which node is meant, 0 to 9, when a machine carries several; each has its own addresses and state."""

_SUFFIX = f"-{INSTANCE}" if INSTANCE else ""

NAME = f"finetune-onenode{_SUFFIX}"
"""The name under which what the kernel holds is found again: cgroups, firewall table, runtime directory."""

PACKAGE = Path(__file__).parent
GO_MODULES = PACKAGE.parent / "go"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-operator"
"""Root of all that may be kept between runs; removing it costs time and nothing else."""

BUILDS = CACHE / "bin"
"""One folder per built Go module, named after the hash of what it was built from."""

BIN = BUILDS / "current"
"""Symbolic links to the binaries in use: kubectl, helm, kube-apiserver, …"""

GO_CACHE = CACHE / "go"
"""Go's module and build caches while something is built; removed afterwards."""

DEBIAN = CACHE / "debian"
"""Unpacked Debian packages: etcd, containerd, runc, CNI plugins, busybox."""

CONTAINERD_ROOT = CACHE / f"containerd{_SUFFIX}"
"""containerd's content and snapshots: images outlive `down`."""

CLUSTER = CACHE / f"cluster{_SUFFIX}"
"""State of the cluster: certificates, etcd's data, pods' folders, volumes, logs. `down` removes it."""

KUBECONFIG = CLUSTER / "kubeconfig"
"""The administrator's kubeconfig of the one-node cluster."""

JOURNAL = CACHE / "host-journal.json"
"""What the nodes of this machine have changed on it; removed by the last one to end."""

LOGS = CLUSTER / "logs"
VOLUMES = CLUSTER / "volumes"
AUDIT_LOG = LOGS / "audit.log"

RUN = Path("/run") / NAME
"""Sockets and what must not outlive a reboot."""

CONTAINERD_SOCKET = RUN / "containerd.sock"
CONTAINERD_NAMESPACE = "k8s.io"
"""The containerd namespace in which kubelet looks for images."""
