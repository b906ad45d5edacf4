"""What the control plane is made of: its certificates and the command lines of its four programs.

Used by the node, at fixed ports of the node's own address, and by `throwaway`, at free ports of the loopback
address.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from onenode.api import ApiServer
from onenode.binaries import binary
from onenode.certificates import Authority, KeyPair, service_account_keys
from onenode.daemons import Daemon
from onenode.debian import ETCD
from onenode.files import write_if_changed
from onenode.kubeconfig import write_kubeconfig

CLUSTER_DOMAIN = "cluster.local"
SERVICE_ACCOUNT_ISSUER = f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}"


@dataclass(frozen=True)
class Ports:
    """The TCP ports of one control plane; 0 for the last two means that they serve no metrics."""

    api: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259


@dataclass(frozen=True)
class ControlPlaneLayout:
    """One control plane: where it keeps its files, and where it listens.

    `advertised` is true when pods are to reach the API server through the `kubernetes` Service at `address`.
    """

    folder: Path
    address: str
    advertised: bool
    ports: Ports = Ports()
    service_range: str = "10.215.0.0/16"
    service_address: str = "10.215.0.1"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @cached_property
    def authority(self) -> Authority:
        """Signs everything but etcd's and the front proxy's certificates."""
        return Authority(self.pki, "ca")

    @cached_property
    def administrator(self) -> KeyPair:
        return self.authority.issue("administrator", "administrator", groups=["system:masters"])

    @property
    def api_server(self) -> ApiServer:
        return ApiServer(self.address, self.ports.api, self.authority.certificate, self.administrator)

    def client_kubeconfig(self, name: str, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for a component of the cluster, in the folder of the certificates."""
        client = self.authority.issue(name, user, groups)
        return write_kubeconfig(
            self.pki / f"{name}.kubeconfig", self.api_server.url, self.authority.certificate, client
        )

    def write_kubeconfig(self) -> Path:
        """Writes the administrator's kubeconfig."""
        return write_kubeconfig(
            self.kubeconfig, self.api_server.url, self.authority.certificate, self.administrator
        )

    def etcd(self) -> Daemon:
        """etcd, reachable by holders of its own authority's certificates only."""
        authority = Authority(self.pki, "etcd-ca")
        server = authority.issue("etcd", "etcd", hosts=[self.address])
        client_url = f"https://{self.address}:{self.ports.etcd}"
        peer_url = f"https://{self.address}:{self.ports.etcd_peer}"
        tls = {
            "cert-file": server.certificate,
            "key-file": server.key,
            "trusted-ca-file": authority.certificate,
            "client-cert-auth": True,
        }
        return _daemon(
            "etcd",
            ETCD.unpack() / "etcd",
            {
                "name": "default",
                "data-dir": self.folder / "etcd",
                "listen-client-urls": client_url,
                "advertise-client-urls": client_url,
                "listen-peer-urls": peer_url,
                "initial-advertise-peer-urls": peer_url,
                "initial-cluster": f"default={peer_url}",
                **tls,
                **{f"peer-{name}": value for name, value in tls.items()},
                # The data is as short-lived as the cluster: a lost power cord loses it, and nobody minds.
                "unsafe-no-fsync": True,
                "logger": "zap",
                "log-level": "warn",
            },
        )

    def kube_apiserver(self) -> Daemon:
        """The API server: RBAC, Node authorization, Pod Security admission, audit log."""
        etcd_authority = Authority(self.pki, "etcd-ca")
        etcd_client = etcd_authority.issue("apiserver-etcd-client", "kube-apiserver")
        serving = self.authority.issue("apiserver", "kube-apiserver", hosts=self._api_hosts())
        kubelet_client = self.authority.issue(
            "apiserver-kubelet-client", "kube-apiserver-kubelet-client", groups=["system:masters"]
        )
        front_proxy_authority = Authority(self.pki, "front-proxy-ca")
        front_proxy = front_proxy_authority.issue("front-proxy", "front-proxy-client")
        service_accounts = service_account_keys(self.pki)
        return _daemon(
            "kube-apiserver",
            binary("kube-apiserver").resolve(),
            {
                "bind-address": self.address,
                "advertise-address": self.address,
                "secure-port": self.ports.api,
                "tls-cert-file": serving.certificate,
                "tls-private-key-file": serving.key,
                "client-ca-file": self.authority.certificate,
                "etcd-servers": f"https://{self.address}:{self.ports.etcd}",
                "etcd-cafile": etcd_authority.certificate,
                "etcd-certfile": etcd_client.certificate,
                "etcd-keyfile": etcd_client.key,
                "authorization-mode": "Node,RBAC",
                "enable-admission-plugins": "NodeRestriction,PodSecurity",
                "allow-privileged": True,
                "service-cluster-ip-range": self.service_range,
                "service-account-issuer": SERVICE_ACCOUNT_ISSUER,
                "service-account-key-file": service_accounts.certificate,
                "service-account-signing-key-file": service_accounts.key,
                "kubelet-certificate-authority": self.authority.certificate,
                "kubelet-client-certificate": kubelet_client.certificate,
                "kubelet-client-key": kubelet_client.key,
                "kubelet-preferred-address-types": "InternalIP",
                "requestheader-client-ca-file": front_proxy_authority.certificate,
                "requestheader-allowed-names": "front-proxy-client",
                "requestheader-username-headers": "X-Remote-User",
                "requestheader-group-headers": "X-Remote-Group",
                "requestheader-extra-headers-prefix": "X-Remote-Extra-",
                "proxy-client-cert-file": front_proxy.certificate,
                "proxy-client-key-file": front_proxy.key,
                # Webhooks and aggregated servers are called at their pods' addresses, without a detour over
                # kube-proxy. Where there are no pods, Services of type ExternalName work instead.
                "enable-aggregator-routing": self.advertised,
                # A loopback address is refused as an endpoint of the Service `kubernetes`.
                "endpoint-reconciler-type": "lease" if self.advertised else "none",
                "audit-policy-file": self._audit_policy(),
                "audit-log-path": self.audit_log,
                "audit-log-maxsize": 50,
                "audit-log-maxbackup": 1,
                "profiling": False,
            },
        )

    def kube_controller_manager(self) -> Daemon:
        """The controllers, each with a service account of its own."""
        kubeconfig = self.client_kubeconfig("controller-manager", "system:kube-controller-manager")
        return _daemon(
            "kube-controller-manager",
            binary("kube-controller-manager").resolve(),
            {
                **self._authentication(kubeconfig, self.ports.controller_manager),
                "root-ca-file": self.authority.certificate,
                "service-account-private-key-file": service_account_keys(self.pki).key,
                "cluster-signing-cert-file": self.authority.files.certificate,
                "cluster-signing-key-file": self.authority.files.key,
                "use-service-account-credentials": True,
                # The default of 20 requests per second would be what a load test measures.
                "kube-api-qps": 300,
                "kube-api-burst": 600,
            },
        )

    def kube_scheduler(self) -> Daemon:
        """The scheduler, with its default profile."""
        kubeconfig = self.client_kubeconfig("scheduler", "system:kube-scheduler")
        return _daemon(
            "kube-scheduler",
            binary("kube-scheduler").resolve(),
            {
                **self._authentication(kubeconfig, self.ports.scheduler),
                "kube-api-qps": 300,
                "kube-api-burst": 600,
            },
        )

    def _authentication(self, kubeconfig: Path, port: int) -> dict[str, object]:
        return {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": self.address,
            "secure-port": port,
            "leader-elect": False,
            "profiling": False,
        }

    def _api_hosts(self) -> list[str]:
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        return [
            *names,
            f"{names[-1]}.{CLUSTER_DOMAIN}",
            "localhost",
            "127.0.0.1",
            self.address,
            self.service_address,
        ]

    def _audit_policy(self) -> Path:
        """Who did what to which object; never the bodies, which may hold Secrets."""
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
                {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
                {"level": "None", "verbs": ["get", "list", "watch"], "userGroups": ["system:nodes"]},
                {"level": "Metadata"},
            ],
        }
        return write_if_changed(self.pki / "audit-policy.yaml", yaml.safe_dump(policy, sort_keys=False))


def _daemon(name: str, program: Path, flags: dict[str, object]) -> Daemon:
    """A daemon with `--flag=value` arguments, its truth values in Go's spelling."""
    arguments = (
        f"--{flag}={str(value).lower() if isinstance(value, bool) else value}"
        for flag, value in flags.items()
    )
    return Daemon(name, (str(program), *arguments))
