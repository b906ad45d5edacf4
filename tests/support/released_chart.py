"""The whole chart, released by helm onto a control plane without nodes, and the operator beside it."""

import base64
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from onenode import ControlPlane
from onenode.binaries import binary
from operator_rig import Manifest, OperatorProcess, account_kubeconfig, free_port, running

CHART = Path(__file__).parents[2] / "charts/finetune-operator"
CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class Release:
    """One release with a namespace of its name, which is also the only one that it serves.

    Its Service leads to this machine, so that the API server finds the webhook as the chart registers it.
    """

    control_plane: ControlPlane
    name: str
    status_port: int = field(default_factory=free_port)
    webhook_port: int = field(default_factory=free_port)

    @property
    def host(self) -> str:
        """The name by which API server and pods know the operator."""
        return f"{self.name}.{self.name}.svc"

    def deploy(self, *options: str) -> None:
        """Install the chart, or upgrade it; what the API server cannot ask about is refused."""
        values = (
            f"nameOverride={self.name}",
            f"watchNamespaces={{{self.name}}}",
            f"statusServer.port={self.status_port}",
            f"webhook.port={self.webhook_port}",
            "webhook.failurePolicy=Fail",
            "crds.enabled=false",
        )
        target = (f"--kubeconfig={self.control_plane.kubeconfig}", f"--namespace={self.name}")
        command = [str(binary("helm")), "upgrade", "--install", self.name, str(CHART), *target]
        settings = [f"--set={value}" for value in values]
        done = subprocess.run([*command, *settings, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        here = {"type": "ExternalName", "externalName": "localhost", "clusterIP": None, "clusterIPs": None}
        patch = json.dumps({"spec": here})
        self.kubectl("patch", "service", self.name, "--type=merge", "-p", patch)

    @contextmanager
    def operator(self, folder: Path) -> Iterator[OperatorProcess]:
        """The operator with the settings and the rights that the chart gives it."""
        config = self.get("configmap", self.name)["data"]["settings.yaml"]
        settings = yaml.safe_load(config)
        del settings["httpPort"]
        for server in ("statusServer", "webhook"):
            settings[server]["host"] = "127.0.0.1"
        settings |= {"namespace": self.name, "certificateCheckSeconds": CHECK_SECONDS}
        kubeconfig = account_kubeconfig(self.control_plane, self.name, self.name, folder)
        with running(folder, kubeconfig, **settings) as operator:
            yield operator

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.control_plane.kubectl("-n", self.name, *arguments, input=stdin)

    def get(self, kind: str, name: str) -> Manifest:
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret holds, by key."""
        data = self.get("secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def trusted(self) -> str:
        """The authorities (PEM) that the API server trusts of the webhook."""
        [webhook] = self.get("validatingwebhookconfiguration", self.name)["webhooks"]
        return base64.b64decode(webhook["clientConfig"].get("caBundle", "")).decode()

    def served(self, port: int, authority: str) -> str:
        """The certificate (PEM) that is served on a port; empty if a strict client does not trust it."""
        client = ssl.create_default_context(cadata=authority)
        client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            try:
                with client.wrap_socket(connection, server_hostname=self.host) as secured:
                    der = secured.getpeercert(binary_form=True)
            except ssl.SSLCertVerificationError:
                return ""
        return ssl.DER_cert_to_PEM_cert(der) if der else ""
