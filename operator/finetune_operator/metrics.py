"""What Prometheus can ask of the operator. Labels are few and bounded: no job names, no losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Metrics:
    """One registry of its own, so that two operators in one process (as in tests) do not share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "finetune_reconcile_duration_seconds",
            "Time to bring one job up to date.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
        )
        self.reconcile_errors = Counter(
            "finetune_reconcile_errors_total",
            "Reconciles that failed and are tried again, by kind of error.",
            ["error"],
            registry=self.registry,
        )
        self.writes = Counter(
            "finetune_writes_total",
            "Requests that changed something, by what was written.",
            ["object"],
            registry=self.registry,
        )
        self.reports = Counter(
            "finetune_reports_total",
            "Progress reports: accepted, or refused and why.",
            ["outcome"],
            registry=self.registry,
        )
        self.admissions = Counter(
            "finetune_admissions_total",
            "FineTuneJobs that the API server asked about: allowed, refused, or unchecked (our fault).",
            ["outcome"],
            registry=self.registry,
        )
        self.reports_coalesced = Counter(
            "finetune_reports_coalesced_total",
            "Accepted reports that a newer one replaced before they reached a status.",
            registry=self.registry,
        )
        self.watch_repairs = Counter(
            "finetune_watch_repairs_total",
            "Jobs about which a full listing knew more than the watches had told.",
            registry=self.registry,
        )

    def observe(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is asked for at every scrape."""
        self.registry.register(_Asked(name, description, None, lambda: {"": value()}))

    def observe_by(
        self, name: str, description: str, label: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        """Add a gauge with one label whose values are asked for at every scrape."""
        self.registry.register(_Asked(name, description, label, values))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Asked(Collector):
    def __init__(
        self, name: str, description: str, label: str | None, values: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name = name
        self._description = description
        self._label = label
        self._values = values

    def describe(self) -> list[GaugeMetricFamily]:
        return [self._family()]

    def collect(self) -> list[GaugeMetricFamily]:
        family = self._family()
        for label, value in self._values().items():
            family.add_metric([label] if self._label else [], value)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._description, labels=[self._label] if self._label else [])
