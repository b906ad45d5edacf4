"""What Kopf watches, and what becomes of an event: note it, and ask for its job to be looked at."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from finetune_operator import labels
from finetune_operator.cluster import FINETUNE_JOBS, FINETUNE_PRESETS, JOBS, PODS
from finetune_operator.watching.queue import Backoff
from finetune_operator.watching.state import State
from finetune_operator.watching.streams import beginning_anew

NEXT_TOKEN_SECONDS = 5.0
"""How long to wait before a refused token is tried again: the kubelet may have renewed it by then."""


def registry_for(
    state: State, configuration: Configuration, watching: asyncio.Event, backoff: Backoff
) -> kopf.OperatorRegistry:
    """The handlers, bound to `state`. They only listen: Kopf writes nothing to any object.

    `watching` is set once Kopf has found out what the API server has, and asks for FineTuneJobs. `backoff` is
    for watches that fail.
    """
    registry = kopf.OperatorRegistry()
    logged_in = False

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # Called again when the API server refuses even the newest token, and again at once if it still does.
        nonlocal logged_in
        if logged_in:
            await asyncio.sleep(NEXT_TOKEN_SECONDS)
        logged_in = True
        header = await configuration.get_api_key_with_prefix("BearerToken") or ""
        scheme, _space, token = header.partition(" ")
        info = kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme.capitalize() or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )
        session = aiohttp.ClientSession(  # Kopf closes it
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            trust_env=True,
            trace_configs=[telling_of_watches(state, watching), bearing_the_newest_token(configuration)],
            middlewares=[beginning_anew(state.monitor, backoff)],
        )
        return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

    @kopf.on.event(*FINETUNE_JOBS.group_version, FINETUNE_JOBS.plural, registry=registry)
    async def finetune_job(event: kopf.RawEvent, **_: Any) -> None:
        state.tell(FINETUNE_JOBS, event["type"], event["object"])

    @kopf.on.event(*FINETUNE_PRESETS.group_version, FINETUNE_PRESETS.plural, registry=registry)
    async def preset(event: kopf.RawEvent, **_: Any) -> None:
        state.tell(FINETUNE_PRESETS, event["type"], event["object"])

    @kopf.on.event(*JOBS.group_version, JOBS.plural, registry=registry)
    async def job(event: kopf.RawEvent, **_: Any) -> None:
        state.tell(JOBS, event["type"], event["object"])

    @kopf.on.event(*PODS.group_version, PODS.plural, registry=registry)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        state.tell(PODS, event["type"], event["object"])

    return registry


def telling_of_watches(state: State, watching: asyncio.Event) -> aiohttp.TraceConfig:
    """What Kopf's requests tell of its watches, which it does not tell itself.

    The first one for FineTuneJobs sets `watching` (Kopf's ready flag is raised earlier). A watch that begins
    with a listing, at the start and after each break that was too long, has missed what was deleted since the
    last one. Where a request fails or is refused, watches are cut off.
    """
    listed: set[str] = set()

    async def on_request(_: object, __: object, request: aiohttp.TraceRequestStartParams) -> None:
        path = request.url.path
        if path.endswith(f"/{FINETUNE_JOBS.plural}"):
            watching.set()
        if "watch" not in request.url.query:
            listed.add(path)
        elif path in listed:
            listed.remove(path)
            state.deletions_missed.set()

    async def on_answer(_: object, __: object, answer: aiohttp.TraceRequestEndParams) -> None:
        path, response = answer.url.path, answer.response
        if response.ok or response.status == HTTPStatus.NOT_FOUND:  # what is not there, nobody watches
            state.monitor.answered(path)
        else:
            state.monitor.cut_off(path, f"{response.status} {response.reason}")

    async def on_failure(_: object, __: object, request: aiohttp.TraceRequestExceptionParams) -> None:
        state.monitor.cut_off(request.url.path, repr(request.exception))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_request)
    trace.on_request_end.append(on_answer)
    trace.on_request_exception.append(on_failure)
    return trace


def bearing_the_newest_token(configuration: Configuration) -> aiohttp.TraceConfig:
    """What gives each of Kopf's requests the token that the file holds now; the kubelet renews it every hour.

    Kopf would log in again once a token is refused. It closes the session under its other requests then, and
    ends when one of them is on its way at that moment.
    """

    async def on_request(_: object, __: object, request: aiohttp.TraceRequestStartParams) -> None:
        if header := await configuration.get_api_key_with_prefix("BearerToken"):
            request.headers["Authorization"] = header

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_request)
    return trace


@dataclass(frozen=True, slots=True)
class Patience:
    """Kopf's pauses (seconds) between the tries of one request: they never end.

    Kopf's own do after 54 s of answers like 503, and the operator with them.
    """

    backoff: Backoff

    def __iter__(self) -> Iterator[float]:
        return map(self.backoff.delay, itertools.count(1))


def settings_for(patience: Patience) -> kopf.OperatorSettings:
    """Kopf as a watch engine: server-side filters, paged listings, no peering, no events of its own."""
    settings = kopf.OperatorSettings()
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[*resource.group_version, resource.plural] = labels.SELECTOR
    settings.watching.chunk_size = 500
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.networking.trust_env = True
    settings.networking.error_backoffs = patience
    return settings
