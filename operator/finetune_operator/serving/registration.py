"""The webhook's registration: the API server must trust the authority that signs our certificate.

The chart makes the ValidatingWebhookConfiguration and so removes it, too; the operator only keeps its
`caBundle` up to date, where neither cert-manager nor an administrator does.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any, Protocol

from finetune_operator.cluster import WEBHOOK_CONFIGURATIONS, Manifest, Resource
from finetune_operator.errors import NotFoundError

logger = logging.getLogger(__name__)

WEBHOOK = "finetunejobs.finetune.dev"
PATIENCE_SECONDS = 30.0
"""So long a missing registration keeps the operator from being ready: Helm creates it last."""


class Configurations(Protocol):
    """What is needed of the cluster."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one configuration."""

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, changes: Manifest
    ) -> dict[str, Any]:
        """Merge changes into one configuration."""


class Registration:
    """Keeps the `caBundle` of one ValidatingWebhookConfiguration."""

    def __init__(
        self, cluster: Configurations, configuration: str | None, clock: Callable[[], float]
    ) -> None:
        """Without the name of a `configuration`, somebody else keeps it. `clock` is monotonic, in seconds."""
        self._cluster = cluster
        self._configuration = configuration
        self._clock = clock
        self._since = clock()
        self._published = configuration is None

    def problem(self) -> str:
        """Why `helm --wait` should wait a little; empty once published, or when waiting has no more use."""
        if self._published or self._clock() - self._since > PATIENCE_SECONDS:
            return ""
        return "the webhook's configuration does not carry our authority yet"

    async def publish(self, authority: str) -> None:
        """Have the API server trust `authority` (PEM). Writes only if it does not yet.

        Raises:
            ApiError: the configuration is not there, or can't be read or written.
        """
        name = self._configuration
        if name is None:
            return
        bundle = base64.b64encode(authority.encode()).decode()
        stored = await self._cluster.get(WEBHOOK_CONFIGURATIONS, None, name)
        webhook = next((hook for hook in stored.get("webhooks") or [] if hook["name"] == WEBHOOK), None)
        if webhook is None:
            raise NotFoundError(f"ValidatingWebhookConfiguration {name} has no webhook {WEBHOOK}")
        if webhook["clientConfig"].get("caBundle") != bundle:
            changes = {"webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": bundle}}]}
            await self._cluster.patch(WEBHOOK_CONFIGURATIONS, None, name, changes)
            logger.info("wrote our authority into ValidatingWebhookConfiguration %s", name)
        self._published = True
