"""Addresses, the link between host and node, and how pods reach the world.

    host  10.213.0.1 ──(onenode0 · eth0)── 10.213.0.2  node ── pods 10.214.0.0/20
                                                            └─ Services 10.215.0.0/20

The API server and everything else listens on the node's address only. On the host there is one network
device, one route and one firewall table; the rest is inside the enclosure.
"""

import ipaddress
import json
import shutil
import subprocess
from pathlib import Path

from onenode import paths
from onenode.journal import Journal
from onenode.progress import say

_LINK = ipaddress.ip_network(f"10.213.{paths.INSTANCE}.0/30")
HOST_ADDRESS = str(_LINK[1])
NODE_ADDRESS = str(_LINK[2])
POD_RANGE = f"10.214.{16 * paths.INSTANCE}.0/20"
SERVICE_RANGE = f"10.215.{16 * paths.INSTANCE}.0/20"
KUBERNETES_ADDRESS = str(ipaddress.ip_network(SERVICE_RANGE)[1])
DNS_ADDRESS = str(ipaddress.ip_network(SERVICE_RANGE)[10])

DEVICE = f"onenode{paths.INSTANCE}"
TABLE = paths.NAME.replace("-", "_")


class NetworkError(Exception):
    """The host's network leaves no room for the cluster's; the message says which route is in the way."""


def connect(node_process: int, journal: Journal) -> None:
    """Links the host to the network namespace of `node_process`, and lets its traffic out.

    Raises:
        NetworkError: another route of the host covers one of the cluster's ranges.
    """
    require_free_ranges()
    _ip("link", "add", DEVICE, "type", "veth", "peer", "name", "eth0", "netns", str(node_process))
    _ip("address", "add", f"{HOST_ADDRESS}/30", "dev", DEVICE)
    _ip("link", "set", DEVICE, "up")
    for cluster_range in (POD_RANGE, SERVICE_RANGE):
        _ip("route", "add", cluster_range, "via", NODE_ADDRESS, "dev", DEVICE)
    _nft(firewall_table())
    if not journal.set_kernel("net/ipv4/ip_forward", "1"):
        say("  this host does not let us forward packets: pods reach the cluster, and nothing outside of it")


def disconnect() -> None:
    """Removes the link, its routes and the firewall table; what is not there is no error, nor is a host on
    which nothing was ever started, and which lacks the programs."""
    for command in (["ip", "link", "delete", DEVICE], ["nft", "delete", "table", "ip", TABLE]):
        if shutil.which(command[0]) is not None:
            subprocess.run(command, capture_output=True, check=False)


def firewall_table() -> str:
    """The host's rules for this node: what pods send to other networks leaves with the host's address."""
    return f"""
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {{ {_LINK}, {POD_RANGE} }} oifname != "{DEVICE}" masquerade
    }}
}}
"""


def require_free_ranges() -> None:
    """Raises NetworkError if the host already routes one of the cluster's addresses somewhere else."""
    output = subprocess.run(["ip", "-json", "route"], capture_output=True, text=True, check=True).stdout
    ours = [ipaddress.ip_network(text) for text in (str(_LINK), POD_RANGE, SERVICE_RANGE)]
    for route in json.loads(output or "[]"):
        if route["dst"] == "default":
            continue
        taken = ipaddress.ip_network(route["dst"], strict=False)
        for wanted in ours:
            if taken.version == wanted.version and taken.overlaps(wanted):
                raise NetworkError(
                    f"the host routes {taken} over {route.get('dev')}, and the cluster wants {wanted}. "
                    "Try another range with ONENODE_INSTANCE=1 (to 9)."
                )


def cni_configuration() -> str:
    """One point-to-point link per pod, routed: no bridge, and no bridge netfilter needed in the kernel."""
    pods = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/var/lib/cni/networks",
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [pods]}, indent=1)


def resolver_file() -> Path:
    """The resolv.conf whose name servers can be reached from inside: not systemd-resolved's loopback stub."""
    behind_the_stub = Path("/run/systemd/resolve/resolv.conf")
    return behind_the_stub if behind_the_stub.exists() else Path("/etc/resolv.conf")


def has_name_server() -> bool:
    """Whether the host has a name server that pods can be referred to."""
    try:
        lines = resolver_file().read_text().splitlines()
    except FileNotFoundError:
        return False
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return any(not ipaddress.ip_address(server.split("%")[0]).is_loopback for server in servers)


def _ip(*arguments: str) -> None:
    result = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise NetworkError(f"ip {' '.join(arguments)}: {result.stderr.strip()}")


def _nft(ruleset: str) -> None:
    result = subprocess.run(["nft", "-f", "-"], input=ruleset, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise NetworkError(f"nft refuses the cluster's rules: {result.stderr.strip()}")
