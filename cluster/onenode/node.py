"""The two programs that make a machine a node: kubelet and kube-proxy."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from onenode import cgroups, enclosure, network, paths
from onenode.api import ApiServer
from onenode.binaries import binary
from onenode.control_plane import CLUSTER_DOMAIN, ControlPlaneLayout
from onenode.daemons import Daemon
from onenode.files import write_if_changed

NAME = "onenode"
"""The node's name in Kubernetes."""


def kubelet(layout: ControlPlaneLayout) -> Daemon:
    """kubelet, known to the API server as this node and allowed what Node authorization gives a node."""
    kubeconfig = layout.client_kubeconfig("kubelet", f"system:node:{NAME}", groups=("system:nodes",))
    serving = layout.authority.issue("kubelet-serving", NAME, hosts=[NAME, network.NODE_ADDRESS])
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE_ADDRESS,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "clusterDNS": [network.DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(network.resolver_file()),
        "containerRuntimeEndpoint": f"unix://{paths.CONTAINERD_SOCKET}",
        "volumePluginDir": str(paths.CLUSTER / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.KUBELET_ROOT,
        "failCgroupV1": False,
        "failSwapOn": False,
        # kube-proxy uses nftables, and nothing else here needs kubelet's iptables chains.
        "makeIPTablesUtilChains": False,
        # A developer's disk is often full by a server's standards; deleting our images would not help it.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
        "serializeImagePulls": False,
    }
    return Daemon(
        "kubelet",
        (
            str(binary("kubelet").resolve()),
            f"--config={_write(layout.folder / 'kubelet.yaml', configuration)}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NAME}",
            f"--node-ip={network.NODE_ADDRESS}",
        ),
    )


def kube_proxy(layout: ControlPlaneLayout) -> Daemon:
    """kube-proxy over nftables, inside the enclosure's network."""
    kubeconfig = layout.client_kubeconfig("kube-proxy", "system:kube-proxy")
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": network.NODE_ADDRESS,
        "healthzBindAddress": f"{network.NODE_ADDRESS}:10256",
        "metricsBindAddress": f"{network.NODE_ADDRESS}:10249",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": network.POD_RANGE,
        "hostnameOverride": NAME,
        "nodePortAddresses": ["primary"],
        # The limits of connection tracking are the host's business.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    configuration_file = _write(layout.folder / "kube-proxy.yaml", configuration)
    return Daemon("kube-proxy", (str(binary("kube-proxy").resolve()), f"--config={configuration_file}"))


def has_address(api: ApiServer) -> bool:
    """Whether the node is registered, with its address."""
    found = api.read(f"/api/v1/nodes/{NAME}")
    return found is not None and bool(found["status"].get("addresses"))


def is_running(daemon: Daemon) -> bool:
    """Whether a daemon runs inside the enclosure."""
    return enclosure.find(Path(daemon.command[0])) is not None


def _write(path: Path, configuration: Mapping[str, object]) -> Path:
    return write_if_changed(path, yaml.safe_dump(dict(configuration), sort_keys=False))
