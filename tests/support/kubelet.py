"""A stand-in for the kubelet's logs: what the API server asks when somebody wants the log of a pod."""

import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from urllib.parse import parse_qs, urlsplit

from onenode import ControlPlane
from onenode.certificates import Authority
from operator_rig import Namespace

ADDRESS = "127.0.0.1"
NODE = "stand-in"


class Kubelet(ThreadingHTTPServer):
    """Serves the logs of pods over TLS, with a certificate that the API server believes."""

    daemon_threads = True

    def __init__(self, control_plane: ControlPlane) -> None:
        super().__init__((ADDRESS, 0), _Handler)
        authority = Authority(control_plane.folder / "pki", "ca")
        pair = authority.issue("stand-in-kubelet", f"system:node:{NODE}", hosts=[ADDRESS])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.asked: list[dict[str, str]] = []
        """Queries of the requests, without `container`."""
        self.written: defaultdict[str, SimpleQueue[str | None]] = defaultdict(SimpleQueue)
        """Lines of each pod that are still to be sent; None is the end."""

    def write(self, pod: str, *lines: str | None) -> None:
        for line in lines:
            self.written[pod].put(line)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Kubelet

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        _, _, _, pod, _ = place.path.split("/")
        self.server.asked.append({key: values[0] for key, values in parse_qs(place.query).items()})
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (line := self.server.written[pod].get()) is not None:
            self._chunk(f"{line}\n".encode())
        self._chunk(b"")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written to the tests' output."""


@contextmanager
def running(control_plane: ControlPlane) -> Iterator[Kubelet]:
    """A node of that name, whose kubelet this is."""
    with Kubelet(control_plane) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        control_plane.kubectl("create", "-f", "-", input=json.dumps(node))
        status = {
            "addresses": [{"type": "InternalIP", "address": ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_address[1]}},
        }
        patch = json.dumps({"status": status})
        control_plane.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch)
        try:
            yield server
        finally:
            control_plane.kubectl("delete", "node", NODE, "--wait=false")
            server.shutdown()
            thread.join()


def place_pod(namespace: Namespace, name: str, job: str, attempt: int = 1, *, node: str = NODE) -> None:
    """A pod of a job on a node, as the operator's would be."""
    labels = {"finetune.dev/job": job, "finetune.dev/attempt": str(attempt)}
    container = {"name": "trainer", "image": "trainer"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [container]},
    }
    namespace.kubectl("create", "-f", "-", stdin=json.dumps(pod))
