"""The few questions that starting a cluster has to ask its API server."""

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onenode.certificates import KeyPair


@dataclass(frozen=True)
class ApiServer:
    """An API server at `host:port`, verified against `authority`, asked as `client`."""

    host: str
    port: int
    authority: Path
    client: KeyPair

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def answers(self, path: str) -> bool:
        """Whether GET `path` succeeds; no answer at all counts as no."""
        return self._get(path)[0] == http.client.OK

    def read(self, path: str) -> dict[str, Any] | None:
        """The JSON document at `path`, or None when it is not there (yet)."""
        status, body = self._get(path)
        if status != http.client.OK:
            return None
        document: dict[str, Any] = json.loads(body)
        return document

    def _get(self, path: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client.certificate, self.client.key)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=5, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()
