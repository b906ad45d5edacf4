"""Writes kubeconfig files that need no other file beside them, and points a shell at the cluster's."""

import base64
from pathlib import Path

import yaml

from onenode import paths
from onenode.certificates import KeyPair
from onenode.files import write_if_changed

_NAME = "onenode"
"""What the one context, cluster and user of a kubeconfig are called."""


def write_kubeconfig(path: Path, server: str, authority: Path, client: KeyPair) -> Path:
    """Writes a kubeconfig for one client of one server, readable by its owner only, and returns its path."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    user = {
        "client-certificate-data": _base64(client.certificate),
        "client-key-data": _base64(client.key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "current-context": _NAME,
    }
    return write_if_changed(path, yaml.safe_dump(document, sort_keys=False), mode=0o600)


def shell_environment() -> str:
    """Lines for a shell that make kubectl and helm speak to this cluster."""
    return f'export KUBECONFIG="{paths.KUBECONFIG}"\nexport PATH="{paths.BIN}:$PATH"'


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
