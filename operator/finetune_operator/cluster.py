"""Asking and telling the Kubernetes API; apart from Kopf's watches, the only place that does so."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from finetune_operator.clock import ClusterClock
from finetune_operator.errors import UnreachableError, from_response
from finetune_operator.labels import MANAGER

Manifest = Mapping[str, Any]

REQUEST_SECONDS = 30.0
PAGE = 500
STRATEGIC_MERGE = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object as its REST path names it."""

    api_version: str
    plural: str

    @property
    def group_version(self) -> tuple[str, str]:
        """API group (empty for the core group) and version."""
        group, _, version = self.api_version.rpartition("/")
        return group, version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of a subresource of it."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


FINETUNE_JOBS = Resource("finetune.dev/v1alpha1", "finetunejobs")
FINETUNE_PRESETS = Resource("finetune.dev/v1alpha1", "finetunepresets")
JOBS = Resource("batch/v1", "jobs")
PODS = Resource("v1", "pods")
SECRETS = Resource("v1", "secrets")
EVENTS = Resource("events.k8s.io/v1", "events")
TOKEN_REVIEWS = Resource("authentication.k8s.io/v1", "tokenreviews")
WEBHOOK_CONFIGURATIONS = Resource("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations")

_RESOURCES = {
    ("batch/v1", "Job"): JOBS,
    ("v1", "ConfigMap"): Resource("v1", "configmaps"),
    ("v1", "Service"): Resource("v1", "services"),
    ("v1", "PersistentVolumeClaim"): Resource("v1", "persistentvolumeclaims"),
    ("v1", "Pod"): PODS,
}


def resource_of(api_version: str, kind: str) -> Resource:
    """The resource of a kind that plans may name.

    Raises:
        KeyError: the operator does not handle (and has no right to handle) that kind.
    """
    return _RESOURCES[api_version, kind]


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of a kind at one moment: `version` orders them among later changes."""

    items: list[dict[str, Any]]
    version: int


class Cluster:
    """A connection to one API server. Every method raises `ApiError` (see `errors`) when it is refused."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.clock = ClusterClock()
        self._client = ApiClient(configuration)
        self._client.user_agent = MANAGER

    @classmethod
    @asynccontextmanager
    async def connect(cls) -> AsyncIterator[Cluster]:
        """In a pod, its ServiceAccount; elsewhere, the file that KUBECONFIG names."""
        configuration = Configuration()
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            await kubernetes_config.load_kube_config(client_configuration=configuration)
        cluster = cls(configuration)
        try:
            yield cluster
        finally:
            await cluster._client.close()

    async def pages(
        self, resource: Resource, namespace: str | None = None, selector: str = "", fields: str = ""
    ) -> AsyncIterator[Listing]:
        """All objects of a kind, of one namespace or of all, by label and field selectors, page by page.

        One page is in memory at a time, as thousands of nodes would not fit. All pages are of one version.
        """
        token = ""
        while True:
            query = {"limit": str(PAGE)}
            if selector:
                query["labelSelector"] = selector
            if fields:
                query["fieldSelector"] = fields
            if token:
                query["continue"] = token
            page = await self._request("GET", resource.path(namespace), query=query)
            yield Listing(page["items"], int(page["metadata"]["resourceVersion"]))
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """One object, read from the API server's store and not from any cache. None: of the whole cluster."""
        return await self._request("GET", resource.path(namespace, name))

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> dict[str, Any]:
        """Create an object and return it as stored. Never touches one that is there: `AlreadyExistsError`."""
        return await self._request(
            "POST", resource.path(namespace), query={"fieldManager": MANAGER}, body=manifest
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None
    ) -> dict[str, Any] | None:
        """Delete an object in the foreground: it stays visible until all that it owns is gone.

        With `uid`, another object of the same name is left alone (`ConflictError`). Returns the object that
        is being deleted, or None if it is gone already.
        """
        body: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground",
        }
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        answer = await self._request("DELETE", resource.path(namespace, name), body=body)
        return None if answer.get("kind") == "Status" else answer

    async def replace(
        self, resource: Resource, namespace: str, name: str, manifest: Manifest, subresource: str = ""
    ) -> dict[str, Any]:
        """Write an object (or its status) whole, if it is still at the resourceVersion in `manifest`."""
        if not manifest["metadata"].get("resourceVersion"):
            raise ValueError(
                f"{resource.plural} {namespace}/{name}: a write without resourceVersion would be blind"
            )
        path = resource.path(namespace, name, subresource)
        return await self._request("PUT", path, query={"fieldManager": MANAGER}, body=manifest)

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, changes: Manifest
    ) -> dict[str, Any]:
        """Merge changes into an object of a built-in kind; lists are merged by the keys of their items."""
        path = resource.path(namespace, name)
        query = {"fieldManager": MANAGER}
        return await self._request("PATCH", path, query=query, body=changes, content=STRATEGIC_MERGE)

    async def review_token(self, token: str, audience: str) -> dict[str, Any]:
        """What the API server says of a bearer token: the `status` of a TokenReview."""
        body = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        review = await self._request("POST", TOKEN_REVIEWS.path(), body=body)
        status: dict[str, Any] = review["status"]
        return status

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            method, url, headers, payload, _ = await self._client.param_serialize(
                method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            if query:
                url += "?" + urlencode(query)
            response = await self._client.call_api(
                method, url, headers, payload, _request_timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
            )
            text = (await response.read()).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{method} {path}: the API server does not answer: {error!r}") from error
        self.clock.heard(response.headers.get("Date"))
        answer = _parse(text)
        if response.status >= 300:
            raise from_response(
                method, path, response.status, answer.get("reason", ""), answer.get("message") or text[:500]
            )
        if "kind" not in answer:
            raise UnreachableError(f"{method} {path}: what answers is no API server: {text[:500]}")
        return answer


def _parse(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
