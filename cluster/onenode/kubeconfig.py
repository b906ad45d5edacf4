"""Writes kubeconfig files that need no other file beside them."""

import base64
from pathlib import Path

import yaml

from onenode.certificates import KeyPair
from onenode.files import write_if_changed


def write_kubeconfig(
    path: Path, server: str, authority: Path, client: KeyPair, name: str = "onenode"
) -> Path:
    """Writes a kubeconfig for one client of one server, readable by its owner only, and returns its path.

    Every context, cluster and user in it is called `name`.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": _base64(authority)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _base64(client.certificate),
                    "client-key-data": _base64(client.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return write_if_changed(path, yaml.safe_dump(document, sort_keys=False), mode=0o600)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
