"""The addresses of a node, and what it adds to the host."""

import ipaddress
import json
import subprocess
from pathlib import Path

import pytest

from onenode import network


def _routes(monkeypatch: pytest.MonkeyPatch, *routes: dict[str, str]) -> None:
    done = subprocess.CompletedProcess[str]([], 0, stdout=json.dumps(routes))
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_options: done)


def test_the_ranges_of_the_node_do_not_overlap() -> None:
    ranges = [ipaddress.ip_network(text) for text in (network.POD_RANGE, network.SERVICE_RANGE)]
    link = ipaddress.ip_network(f"{network.HOST_ADDRESS}/30", strict=False)
    assert ipaddress.ip_address(network.NODE_ADDRESS) in link
    assert not any(
        first.overlaps(second) for first in ranges for second in (*ranges, link) if first is not second
    )


def test_services_have_the_addresses_that_clients_expect() -> None:
    services = ipaddress.ip_network(network.SERVICE_RANGE)
    assert ipaddress.ip_address(network.KUBERNETES_ADDRESS) == services[1]
    assert ipaddress.ip_address(network.DNS_ADDRESS) in services


def test_a_host_with_other_networks_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    _routes(monkeypatch, {"dst": "default", "dev": "eth0"}, {"dst": "192.168.1.0/24", "dev": "eth0"})
    network.require_free_ranges()


@pytest.mark.parametrize(
    "taken", ["10.0.0.0/8", network.POD_RANGE, f"{network.DNS_ADDRESS}/32", network.NODE_ADDRESS]
)
def test_a_host_that_routes_one_of_our_addresses_is_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    _routes(monkeypatch, {"dst": taken, "dev": "vpn0"})
    with pytest.raises(network.NetworkError, match=r"vpn0.*ONENODE_INSTANCE=1"):
        network.require_free_ranges()


def test_only_traffic_that_leaves_the_cluster_is_masqueraded() -> None:
    rules = network.firewall_table()
    assert f'oifname != "{network.DEVICE}" masquerade' in rules
    assert network.POD_RANGE in rules
    assert "drop" not in rules


def test_pods_get_their_addresses_from_the_pod_range() -> None:
    configuration = json.loads(network.cni_configuration())
    (plugin,) = configuration["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": network.POD_RANGE}]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nameserver 192.0.2.53\n", True),
        ("nameserver 127.0.0.53\n", False),
        ("nameserver fe80::1%eth0\n", True),
        ("# nothing\n", False),
    ],
)
def test_a_loopback_name_server_is_of_no_use_to_pods(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, expected: bool
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(content)
    monkeypatch.setattr(network, "resolver_file", lambda: file)
    assert network.has_name_server() is expected


def test_a_host_on_which_nothing_was_started_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    network.disconnect()
