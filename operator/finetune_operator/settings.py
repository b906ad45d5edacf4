"""What the operator can be told: one file of settings, read once, checked in full before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from finetune_api.hardware import HardwareCatalog, parse_overrides
from finetune_operator.serving.listening import EVERYWHERE


class SettingsError(Exception):
    """The settings file cannot be used; the message names the field, the value and the rule."""


class _Section(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True
    )


class TrainerSettings(_Section):
    """The image that attempts run unless a job names its own."""

    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()


class StatusServerSettings(_Section):
    """Where trainers report to, and how much of it reaches the API server."""

    host: str = EVERYWHERE
    port: int = Field(8443, ge=0, le=65535)
    service_name: str = "finetune-operator"
    """The Service in the operator's namespace that leads to `port`."""
    url: str | None = None
    """Base URL handed to pods; by default `https://<service_name>.<namespace>.svc:<port>`."""
    tls_secret: str = "finetune-operator-tls"  # noqa: S105 - the name of a Secret
    """Secret with `tls.crt`, `tls.key`, `ca.crt` (and `ca.key` when the operator keeps it)."""
    make_certificate: bool = True
    """Whether the operator makes and renews what is in `tls_secret`, or waits for somebody who does."""
    status_interval_seconds: float = Field(2.0, ge=0)
    """At least this long between two status writes of one job that carry nothing but progress."""
    reports_per_second: float = Field(5.0, gt=0)
    """What one job may send on average; more is answered 429."""
    report_burst: int = Field(20, ge=1)


class WebhookSettings(_Section):
    """Where the API server asks about jobs and presets; it sees the status server's certificate."""

    host: str = EVERYWHERE
    port: int = Field(9443, ge=0, le=65535)
    configuration: str | None = None
    """ValidatingWebhookConfiguration whose `caBundle` the operator keeps; None: somebody else does."""


class Settings(_Section):
    """Everything the operator can be told."""

    namespace: str
    """The operator's own namespace: its TLS Secret and Service are here."""
    instance: str = "finetune-operator"
    """Who reports events: the pod's name."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces whose jobs are served; empty means all."""
    trainer: TrainerSettings
    status_server: StatusServerSettings = StatusServerSettings()
    webhook: WebhookSettings | None = None
    """None: jobs are not checked when they are applied."""
    http_host: str = EVERYWHERE
    http_port: int = Field(8080, ge=0, le=65535)
    """`/metrics`, `/healthz` and `/readyz`, plain HTTP."""
    workers: int = Field(8, ge=1, le=256)
    resync_seconds: float = Field(300.0, ge=1)
    """All jobs are looked at again this often, with jitter, whether or not an event came."""
    reconcile_timeout_seconds: float = Field(60.0, gt=0)
    backoff_seconds: float = Field(0.5, gt=0)
    max_backoff_seconds: float = Field(300.0, gt=0)
    certificate_check_seconds: float = Field(60.0, gt=0)
    """How long a certificate that somebody else has renewed may be served yet: its clients move on, too."""
    hardware: dict[str, Any] = Field(default_factory=dict)
    """Prices, carbon intensity, PUE and accelerators of the administrator's, over the catalog; see
    `finetune_api.hardware.overrides`."""
    read_nodes: bool = True
    """Whether the nodes' accelerators are read, for jobs that name none; needs the right to list nodes."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    @field_validator("hardware")
    @classmethod
    def _can_be_used(cls, given: dict[str, Any]) -> dict[str, Any]:
        parse_overrides(given)
        return given

    @property
    def hardware_catalog(self) -> HardwareCatalog:
        """The catalog with the administrator's list over it."""
        return parse_overrides(self.hardware)

    @property
    def status_url(self) -> str:
        """Base URL of the status server as pods see it."""
        server = self.status_server
        return server.url or f"https://{server.service_name}.{self.namespace}.svc:{server.port}"


_FROM_ENVIRONMENT = {"POD_NAMESPACE": "namespace", "POD_NAME": "instance"}
"""What only the pod itself knows comes from the downward API."""


def load_settings(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (YAML, camelCase); the pod's own name and namespace come from the environment.

    Raises:
        SettingsError: the file is missing, is not YAML, or a field breaks a rule.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    if not isinstance(given, dict):
        raise SettingsError(f"settings file {path}: a mapping is expected, not {type(given).__name__}")
    for variable, field in _FROM_ENVIRONMENT.items():
        if variable in environ:
            given.setdefault(field, environ[variable])
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc']))}: {item.get('input')!r}: {item['msg']}"
            for item in error.errors()
        ]
        raise SettingsError(f"settings file {path}: " + "; ".join(lines)) from error
