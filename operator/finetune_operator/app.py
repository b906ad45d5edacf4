"""The operator, put together: what starts, in which order, and how it ends.

One replica runs, with a `Recreate` rollout. A lock is not needed for correctness: children have deterministic
names and are created, never overwritten, and a status is written only over the version it was decided on, so
that two operators that overlap for a moment can at worst do the same work twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Iterable

import kopf

from finetune_api import ProgressReport
from finetune_operator.acting.event_writer import EventWriter
from finetune_operator.acting.reconciler import Reconciler
from finetune_operator.acting.workers import UNREACHABLE_SECONDS, Workers
from finetune_operator.allowance import Allowance
from finetune_operator.cluster import Cluster
from finetune_operator.errors import ApiError
from finetune_operator.health import Health, WatchMonitor
from finetune_operator.keys import JobKey
from finetune_operator.logs import hush_watches
from finetune_operator.metrics import Metrics
from finetune_operator.rendering import RenderConfig
from finetune_operator.serving.admission_server import AdmissionServer
from finetune_operator.serving.http_server import HttpServer
from finetune_operator.serving.registration import Registration
from finetune_operator.serving.status_server import Authenticator, StatusServer
from finetune_operator.serving.tls import ServerCertificate
from finetune_operator.settings import Settings
from finetune_operator.watching.handlers import Patience, registry_for, settings_for
from finetune_operator.watching.nodes import HardwareStore
from finetune_operator.watching.queue import Backoff, KeyedQueue
from finetune_operator.watching.reports import ReportStore
from finetune_operator.watching.state import State

logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""How long a reconcile that is under way, and then Kopf, may take to end when the operator stops."""
FIRST_SYNC_RETRY_SECONDS = 2.0
OTHER_WATCHES_SECONDS = 0.5
"""How long to wait for the other watches where one has begun anew: one listing serves all."""
DISCOVERY_SECONDS = 10.0
"""How long a stop waits for Kopf to have found out what the API server has."""


class Operator:
    """Everything that runs in the operator's process, on one event loop."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.settings = settings
        self.cluster = cluster
        self.metrics = Metrics()
        self.health = Health()
        self.hardware = HardwareStore(settings.hardware_catalog, read_nodes=settings.read_nodes)
        self.status_port = 0
        self.http_port = 0
        server = settings.status_server
        self.state = State(
            KeyedQueue(
                Backoff(settings.backoff_seconds, settings.max_backoff_seconds), lambda key: key.namespace
            ),
            ReportStore(server.status_interval_seconds, time.monotonic, self.metrics.reports_coalesced.inc),
            WatchMonitor(time.monotonic),
        )
        host = f"{server.service_name}.{settings.namespace}.svc"
        self.certificate = ServerCertificate(
            cluster,
            settings.namespace,
            server.tls_secret,
            [host, f"{host}.cluster.local", "localhost"],
            server.make_certificate,
            lambda: cluster.clock.now(),
        )
        webhook = settings.webhook
        self.registration = Registration(cluster, webhook.configuration if webhook else None, time.monotonic)
        self.allowance = Allowance(server.reports_per_second, server.report_burst, time.monotonic)
        self.authenticator = Authenticator(
            cluster,
            self.state.finetune_jobs,
            self.state.jobs,
            self.state.pods,
            clock=time.monotonic,
            wall_clock=lambda: cluster.clock.now().timestamp(),
        )
        self.status_server = StatusServer(self.authenticator, self.allowance, self.receive, self.metrics)
        self.admission_server = AdmissionServer(
            self.metrics, self.state.presets_of, lambda: self.hardware.hardware
        )
        self.http_server = HttpServer(self.metrics, self.health)
        self.reconciler = Reconciler(
            cluster,
            self.state,
            self.metrics,
            self.render_config,
            EventWriter(cluster, settings.instance, time.monotonic),
        )
        self.workers = Workers(
            self.state.queue,
            self.reconciler.reconcile,
            self.metrics,
            count=settings.workers,
            timeout=settings.reconcile_timeout_seconds,
        )
        self._synced = False
        self._watching = asyncio.Event()
        self._describe()

    async def run(self, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
        """Work until `stop` is set; then finish what is under way. `ready` is set once everything runs.

        Raises:
            RuntimeError: a part that must run for ever ended by itself.
        """
        settings = self.settings
        self.http_port = await self.http_server.start(settings.http_host, settings.http_port)
        background: list[asyncio.Task[None]] = []
        try:
            if not await self._begin(stop):
                return
            background = [
                asyncio.create_task(self._keep_certificate(), name="certificate"),
                asyncio.create_task(self._resync_forever(), name="resync"),
            ]
            self.workers.start()
            await self._watch(stop, background, ready)
        finally:
            await self._end_work(background)
            await asyncio.gather(*background, return_exceptions=True)
            await self.http_server.stop()

    def receive(self, key: JobKey, uid: str, attempt: int, report: ProgressReport) -> None:
        """A report was admitted: keep it, and have its job looked at when it may be written."""
        self.state.queue.add(key, self.state.reports.submit(key, uid, attempt, report))

    def render_config(self) -> RenderConfig:
        """What attempts are rendered with now."""
        trainer = self.settings.trainer
        return RenderConfig(
            trainer_image=trainer.image,
            status_url=self.settings.status_url,
            ca_pem=self.certificate.authority,
            image_pull_policy=trainer.image_pull_policy,
            image_pull_secrets=trainer.image_pull_secrets,
            hardware=self.hardware.hardware,
        )

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Certificate, first listing, servers; tries until it works. False if stopped before that."""
        while not stop.is_set():
            try:
                await self.certificate.refresh()
                await self.hardware.refresh(self.cluster)
                await self.state.resync(self.cluster, self.settings.watch_namespaces)
                break
            except (ApiError, ValueError) as error:
                logger.warning("cannot start yet, trying again: %s", error)
                await _wait(stop, FIRST_SYNC_RETRY_SECONDS)
        else:
            return False
        self._synced = True
        server = self.settings.status_server
        self.status_port = await self.status_server.start(server.host, server.port, self.certificate.context)
        if webhook := self.settings.webhook:
            await self.admission_server.start(webhook.host, webhook.port, self.certificate.context)
        for key in self.state.finetune_jobs.jobs():
            self.state.queue.add(key)
        return True

    async def _watch(
        self, stop: asyncio.Event, background: list[asyncio.Task[None]], ready: asyncio.Event | None
    ) -> None:
        """Run Kopf until `stop`; our own tasks end before it, because Kopf cancels every task it finds."""
        stop_kopf, kopf_runs = asyncio.Event(), asyncio.Event()
        namespaces = self.settings.watch_namespaces
        ours = asyncio.all_tasks()
        parts = await kopf.spawn_tasks(
            registry=registry_for(self.state, self.cluster.configuration, self._watching, self._backoff()),
            settings=settings_for(Patience(self._backoff())),
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop_kopf,
            ready_flag=kopf_runs,
        )
        watcher = asyncio.create_task(kopf.run_tasks(parts, ignored=ours), name="kopf")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await _first(watcher, kopf_runs)
        # Where a part of Kopf fails, the rest may hang on its way out: without one it is over with all of it.
        self.health.live["watch"] = lambda: "Kopf has ended" if any(part.done() for part in parts) else ""
        if ready is not None:
            ready.set()
        logger.info("the operator is up: %d jobs known", len(self.state.finetune_jobs))
        await asyncio.wait({watcher, stopped, *background, *parts}, return_when=asyncio.FIRST_COMPLETED)
        # Kopf ends without an error when it is told to: by a signal that came before we took its handlers.
        failed = [task for task in background if task.done()]
        failed += [task for task in (*parts, watcher) if _has_failed(task)]
        logger.info("stopping")
        self.health.ready["stopping"] = lambda: "the operator is stopping"
        await self._end_work(background)
        # Stopped while it asks what the API server has, Kopf would close its session under its own requests.
        await _first(watcher, self._watching, DISCOVERY_SECONDS)
        hush_watches()
        stop_kopf.set()
        stopped.cancel()
        _, late = await asyncio.wait({watcher, *background, stopped}, timeout=STOP_SECONDS)
        for straggler in late:
            straggler.cancel()
        for task in failed:
            cause = None if task.cancelled() else task.exception()
            raise RuntimeError(f"{task.get_name()} ended by itself") from cause

    async def _end_work(self, background: Iterable[asyncio.Task[None]]) -> None:
        """Take no more requests, let reconciles that are under way end, and tell our own tasks to."""
        await self.admission_server.stop()
        await self.status_server.stop()
        await self.workers.stop(STOP_SECONDS)
        for task in background:
            task.cancel()

    async def _keep_certificate(self) -> None:
        await self.certificate.keep_fresh(self.registration.publish, self.settings.certificate_check_seconds)

    async def _resync_forever(self) -> None:
        """List everything now and then, and look at every job: what a watch missed is found."""
        while True:
            await _wait(
                self.state.deletions_missed,
                self.settings.resync_seconds * random.uniform(0.8, 1.2),  # noqa: S311
            )
            await asyncio.sleep(OTHER_WATCHES_SECONDS)
            self.state.deletions_missed.clear()
            try:
                await self.hardware.refresh(self.cluster)
                news = await self.state.resync(self.cluster, self.settings.watch_namespaces)
            except ApiError as error:
                logger.warning("resync failed: %s", error)
                continue
            self.metrics.watch_repairs.inc(len(news))
            spread = min(30.0, self.settings.resync_seconds / 2)
            for key in self.state.finetune_jobs.jobs():
                self.state.queue.add(key, random.uniform(0.0, spread))  # noqa: S311

    def _describe(self) -> None:
        """Name what health and metrics ask for."""
        state, metrics = self.state, self.metrics
        self.health.live["workers"] = lambda: f"{n} workers died" if (n := self.workers.dead) else ""
        self.health.live["watches"] = lambda: (
            f"no events for what was written: {', '.join(kinds)}" if (kinds := state.monitor.deaf()) else ""
        )
        self.health.ready["caches"] = lambda: "" if self._synced else "the first listing is not complete"
        self.health.ready["webhook"] = self.registration.problem
        self.health.ready["watching"] = self._not_watching
        metrics.observe("finetune_queue_depth", "Jobs that wait for a worker.", lambda: state.queue.overdue)
        metrics.observe(
            "finetune_queue_scheduled", "Jobs to be looked at now or later.", lambda: len(state.queue)
        )
        metrics.observe(
            "finetune_workers_busy", "Workers that reconcile a job now.", lambda: state.queue.running
        )
        metrics.observe_by("finetune_jobs", "FineTuneJobs by phase.", "phase", self._jobs_by_phase)

    def _not_watching(self) -> str:
        if refused := self.state.monitor.refused():
            return "no watch: " + ", ".join(f"{path}: {why}" for path, why in sorted(refused.items()))
        return "" if self._watching.is_set() else "the watches have not started"

    def _backoff(self) -> Backoff:
        """For watches: asking costs nobody anything while nobody answers."""
        settings = self.settings
        return Backoff(settings.backoff_seconds, min(UNREACHABLE_SECONDS, settings.max_backoff_seconds))

    def _jobs_by_phase(self) -> Counter[str]:
        statuses = (entry.value.get("status") or {} for entry in self.state.finetune_jobs)
        return Counter(status.get("phase") or "Pending" for status in statuses)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _first(task: asyncio.Task[None], event: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until `event` is set, `task` is done, or `seconds` have passed."""
    happened = asyncio.create_task(event.wait())
    await asyncio.wait({task, happened}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    happened.cancel()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
