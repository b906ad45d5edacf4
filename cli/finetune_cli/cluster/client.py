"""The few requests to the API server that the command line makes. Thin: it decides nothing."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yaml import YAMLError

from finetune_api.printable import printable
from finetune_cli.errors import INVALID, CommandError

JOBS: Final = "/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunejobs"
PRESETS: Final = "/apis/finetune.dev/v1alpha1/namespaces/{namespace}/finetunepresets"
FIELD_MANAGER: Final = "finetune"
_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
_NO_CLIENT: Final = (
    "the cluster commands need the Kubernetes client: pip install '.[operator]' in the repository"
)

_MISSHAPEN: Final = (YAMLError, AttributeError, LookupError, TypeError, ValueError)
"""What the client raises of a file that is no YAML, or none of the form that it takes for granted."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Refusal(Exception):
    """The API server's answer to a request that it did not carry out."""

    status: int
    reason: str
    message: str

    def __str__(self) -> str:
        return self.message


class Interrupted(CommandError):
    """A stream of the API server broke off before its end."""


class Cluster:
    """A namespace of a cluster, through the client of the `kubernetes` package."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def within(self, namespace: str) -> "Cluster":
        """Return the same cluster, seen from another namespace."""
        return Cluster(self._client, namespace)

    def get(self, name: str) -> Object:
        """Return a job. Raises `Refusal`."""
        return self._json("GET", self._job(name))

    def preset(self, name: str) -> Object:
        """Return a FineTunePreset. Raises `Refusal`."""
        return self._json("GET", self._preset(name))

    def list_jobs(self) -> Object:
        """Return all jobs, as a FineTuneJobList."""
        return self._json("GET", self._job())

    def table(self, name: str | None = None) -> Object:
        """Return one job or all of them as the API server's Table: the columns that kubectl prints."""
        return self._json("GET", self._job(name), accept=_TABLE)

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool, force: bool) -> Object:
        """Server-side apply a job or preset; warnings of the API server go to standard error.

        Raises `Refusal`.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", str(force).lower())]
        query += [("dryRun", "All")] if dry_run else []
        # The API server refuses fields that it does not know, instead of dropping them.
        query.append(("fieldValidation", "Strict"))
        name = manifest["metadata"]["name"]
        preset = manifest["kind"] == "FineTunePreset"
        return self._json(
            "PATCH",
            self._preset(name) if preset else self._job(name),
            query=query,
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    def patch(self, name: str, spec: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Merge a change into a job's spec. Raises `Refusal`."""
        query = [("fieldManager", FIELD_MANAGER), *([("dryRun", "All")] if dry_run else [])]
        return self._json(
            "PATCH",
            self._job(name),
            query=query,
            body={"spec": spec},
            content_type="application/merge-patch+json",
        )

    def delete(self, name: str, *, dry_run: bool = False) -> None:
        """Delete a job; its pods and their Job go with it, its storage stays. Raises `Refusal`."""
        query = [("propagationPolicy", "Background"), *([("dryRun", "All")] if dry_run else [])]
        self._json("DELETE", self._job(name), query=query)

    def watch(self, name: str, resource_version: str, seconds: int) -> Iterator[Object]:
        """Yield watch events of a job: `{type, object}`; ends after `seconds`, or when the server ends it."""
        query = [
            ("watch", "true"),
            ("fieldSelector", f"metadata.name={name}"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(seconds)),
        ]
        for line in self._lines(self._job(), query):
            yield json.loads(line)

    def pods(self, name: str, attempt: int | None) -> list[Object]:
        """Return the pods of a job's attempt, or of all its attempts."""
        selector = f"finetune.dev/job={name}" + (f",finetune.dev/attempt={attempt}" if attempt else "")
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return list(self._json("GET", path, query=[("labelSelector", selector)])["items"])

    def events(self, uid: str) -> list[Object]:
        """Return the events about an object."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        query = [("fieldSelector", f"involvedObject.uid={uid}")]
        return list(self._json("GET", path, query=query)["items"])

    def logs(self, pod: str, *, follow: bool, tail: int | None) -> Iterator[str]:
        """Yield the lines that a pod has written; what is no UTF-8 in them as `surrogateescape` does."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        query = [("follow", str(follow).lower())]
        query += [("tailLines", str(tail))] if tail is not None else []
        yield from self._lines(path, query)

    def _job(self, name: str | None = None) -> str:
        path = JOBS.format(namespace=self.namespace)
        return path if name is None else f"{path}/{name}"

    def _preset(self, name: str) -> str:
        return f"{PRESETS.format(namespace=self.namespace)}/{name}"

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> Object:
        answer = self._request(method, path, query or [], accept, body=body, content_type=content_type)
        for warning in answer.headers.getlist("Warning"):
            print(printable(f"warning: {_warning_text(warning)}"), file=sys.stderr)
        return dict(json.loads(answer.data))

    def _lines(self, path: str, query: list[tuple[str, str]]) -> Iterator[str]:
        from urllib3.exceptions import HTTPError

        answer = self._request("GET", path, query, "*/*")
        rest = b""
        try:
            for chunk in answer.stream(4096, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="surrogateescape") for line in lines)
            if rest:
                yield rest.decode(errors="surrogateescape")
        except (HTTPError, OSError) as error:
            raise Interrupted(f"the API server has ended the connection: {error}", INVALID) from None
        finally:
            answer.close()

    def _request(self, method: str, path: str, query: list[tuple[str, str]], accept: str, **more: Any) -> Any:
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        try:
            return self._client.request(
                method,
                path,
                query_params=query,
                header_params={"Accept": accept},
                serialize=False,
                **more,
            )
        except DynamicApiError as error:
            raise _refusal(error.status, error.body) from None
        except (HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise CommandError(f"the API server can't be reached: {reason}", INVALID) from None


def connect(kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    """Return the cluster that a kubeconfig file (or the pod's own account) names. Raises `CommandError`."""
    try:
        from kubernetes import client, config
        from kubernetes.dynamic import DynamicClient
    except ImportError:
        raise CommandError(_NO_CLIENT) from None
    files = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    inside = "KUBERNETES_SERVICE_HOST" in os.environ and not any(
        Path(file).is_file() for file in files.split(os.pathsep)
    )
    settings = client.Configuration()
    try:
        if inside:
            config.load_incluster_config(client_configuration=settings)
            found = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
        else:
            config.load_kube_config(
                config_file=files, context=context, client_configuration=settings, persist_config=False
            )
            contexts, current = config.list_kube_config_contexts(config_file=files)
            chosen = next((entry for entry in contexts if entry["name"] == context), current)
            found = chosen["context"].get("namespace") or "default"
        # Our paths are known: the client need not discover what the API server has.
        requests = DynamicClient(client.ApiClient(settings), discoverer=lambda *_: None)
    except (config.ConfigException, OSError, *_MISSHAPEN) as error:
        why = "it has another form" if isinstance(error, _MISSHAPEN) else str(error).rstrip(".")
        raise CommandError(
            f"no usable kubeconfig ({files}): {why}. Name one with --kubeconfig, and --context where it "
            "has several"
        ) from None
    return Cluster(requests, namespace or found)


def _refusal(status: int, body: str | bytes | None) -> Refusal:
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    return Refusal(status, answer.get("reason", ""), answer.get("message") or text or f"HTTP {status}")


def _warning_text(header: str) -> str:
    """Return the text of a `299 - "text"` header."""
    return header.partition('"')[2].rpartition('"')[0].replace('\\"', '"') or header
