"""What answers in the place of an API server is not taken for one."""

from http.server import BaseHTTPRequestHandler

import pytest
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration

from finetune_operator.cluster import JOBS, Cluster
from finetune_operator.errors import UnreachableError
from http_server import serving


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    body: bytes

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    "body",
    [b"<html>Please sign in.</html>", "für niemanden".encode("latin-1"), b"{}"],
    ids=["a page", "no text", "no object"],
)
async def test_a_stranger_is_waited_out(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def load(client_configuration: Configuration) -> None:
        client_configuration.host = address

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kubernetes_config, "load_kube_config", load)
    with serving(type("Answering", (Stranger,), {"body": body})) as address:
        async with Cluster.connect() as cluster:
            with pytest.raises(UnreachableError, match="no API server"):
                await cluster.get(JOBS, "team", "tune-1")
