"""What every cluster needs in pods: cluster DNS and the default StorageClass."""

import json
import os
import subprocess
from string import Template
from typing import Any

from onenode import network, paths, scratch_images
from onenode.binaries import binary
from onenode.control_plane import CLUSTER_DOMAIN

DEPLOYMENTS = {"kube-system": "coredns", "local-path-storage": "local-path-provisioner"}
"""Namespace and name of the deployments that must be available before the cluster is."""


class KubectlError(Exception):
    """kubectl failed; the message is its own."""


def apply() -> None:
    """Applies the manifests of the add-ons; the same ones again change nothing.

    Raises:
        KubectlError: the API server refused one.
    """
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifests())


def are_available() -> bool:
    """Whether the node is ready and every add-on's deployment has its pod."""
    nodes = _items("nodes")
    if not nodes or not all(_condition(node, "Ready") for node in nodes):
        return False
    deployments = {
        (found["metadata"]["namespace"], found["metadata"]["name"]): _condition(found, "Available")
        for found in _items("deployments", "--all-namespaces")
    }
    return all(deployments.get(key, False) for key in DEPLOYMENTS.items())


def manifests() -> str:
    """The manifests of the add-ons for this node, as one YAML stream."""
    values = {
        "cluster_domain": CLUSTER_DOMAIN,
        "dns_address": network.DNS_ADDRESS,
        "forward": "forward . /etc/resolv.conf" if network.has_name_server() else "",
        "volumes": str(paths.VOLUMES),
        "coredns": scratch_images.reference("coredns"),
        "provisioner": scratch_images.reference("local-path-provisioner"),
        "busybox": scratch_images.reference("busybox"),
    }
    files = sorted((paths.PACKAGE / "manifests").glob("*.yaml"))
    return "\n---\n".join(Template(file.read_text()).substitute(values) for file in files)


def kubectl(*arguments: str, input: str | None = None) -> str:
    """Runs kubectl as the cluster's administrator and returns what it prints.

    Raises:
        KubectlError: it failed.
    """
    command = [str(binary("kubectl")), f"--kubeconfig={paths.KUBECONFIG}", *arguments]
    environment = os.environ | {"KUBECONFIG": str(paths.KUBECONFIG)}
    result = subprocess.run(
        command, input=input, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise KubectlError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def _items(*arguments: str) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = json.loads(kubectl("get", *arguments, "-o", "json"))["items"]
    except KubectlError:
        return []
    return items


def _condition(resource: dict[str, Any], kind: str) -> bool:
    conditions = resource.get("status", {}).get("conditions", [])
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)
