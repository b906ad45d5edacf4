"""The command lines of the control plane."""

from pathlib import Path

import pytest

from onenode import control_plane
from onenode.control_plane import ControlPlaneLayout, Ports
from onenode.daemons import Daemon


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ControlPlaneLayout:
    monkeypatch.setattr(control_plane, "binary", lambda name: Path("/bin") / name)
    monkeypatch.setattr(type(control_plane.ETCD), "unpack", lambda _package: Path("/bin"))
    return ControlPlaneLayout(tmp_path, "192.0.2.1", advertised=True, ports=Ports(api=1, etcd=2, etcd_peer=3))


def _flags(daemon: Daemon) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in daemon.command[1:])


def test_the_api_server_authorizes_by_node_and_rbac(layout: ControlPlaneLayout) -> None:
    flags = _flags(layout.kube_apiserver())
    assert flags["authorization-mode"] == "Node,RBAC"
    assert "NodeRestriction" in flags["enable-admission-plugins"]
    assert "PodSecurity" in flags["enable-admission-plugins"]


def test_nothing_speaks_without_tls(layout: ControlPlaneLayout) -> None:
    etcd = _flags(layout.etcd())
    urls = [value for flag, value in etcd.items() if flag.endswith("-urls")]
    assert len(urls) == 4
    assert all(url.startswith("https://") for url in urls)
    assert etcd["client-cert-auth"] == etcd["peer-client-cert-auth"] == "true"
    server = _flags(layout.kube_apiserver())
    assert server["etcd-servers"] == "https://192.0.2.1:2"
    assert "kubelet-certificate-authority" in server


def test_etcd_trusts_only_its_own_authority(layout: ControlPlaneLayout) -> None:
    etcd, server = _flags(layout.etcd()), _flags(layout.kube_apiserver())
    assert etcd["trusted-ca-file"] == server["etcd-cafile"] != server["client-ca-file"]


def test_everything_listens_on_the_given_address_only(layout: ControlPlaneLayout) -> None:
    daemons = (layout.kube_apiserver(), layout.kube_controller_manager(), layout.kube_scheduler())
    assert {_flags(daemon)["bind-address"] for daemon in daemons} == {"192.0.2.1"}


def test_only_an_advertised_server_becomes_the_kubernetes_service(layout: ControlPlaneLayout) -> None:
    hidden = ControlPlaneLayout(layout.folder, "127.0.0.1", advertised=False)
    assert _flags(layout.kube_apiserver())["endpoint-reconciler-type"] == "lease"
    assert _flags(hidden.kube_apiserver())["endpoint-reconciler-type"] == "none"


def test_the_audit_log_never_records_bodies(layout: ControlPlaneLayout) -> None:
    flags = _flags(layout.kube_apiserver())
    assert flags["audit-log-path"] == str(layout.audit_log)
    assert "Request" not in Path(flags["audit-policy-file"]).read_text().replace("RequestReceived", "")
