"""What rendering needs to know about this installation."""

from __future__ import annotations

from dataclasses import dataclass, field

from finetune_operator.hardware import Hardware


@dataclass(frozen=True, slots=True)
class RenderConfig:
    """The installation's part of every attempt: the same for all jobs, set by the chart.

    `status_url` is the status server's base URL (scheme, host, port; no path), `ca_pem` the certificate
    authority that its certificate chains to, PEM. `hardware` is for estimates, and rendered nowhere.
    """

    trainer_image: str
    status_url: str
    ca_pem: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    token_expiration_seconds: int = 3600
    hardware: Hardware = field(default_factory=Hardware)
