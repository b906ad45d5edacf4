"""The webhook's registration: its caBundle follows the authority, and nothing else is written."""

import base64
from typing import Any

import pytest

from finetune_operator.cluster import WEBHOOK_CONFIGURATIONS, Manifest, Resource
from finetune_operator.errors import ForbiddenError, NotFoundError
from finetune_operator.serving.registration import PATIENCE_SECONDS, WEBHOOK, Registration


class Configurations:
    """One ValidatingWebhookConfiguration."""

    def __init__(self) -> None:
        self.webhooks: list[dict[str, Any]] = [{"name": WEBHOOK, "clientConfig": {"service": {}}}]
        self.patches: list[Manifest] = []
        self.refusal: Exception | None = None

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        assert (resource, namespace, name) == (WEBHOOK_CONFIGURATIONS, None, "finetune")
        if self.refusal is not None:
            raise self.refusal
        return {"metadata": {"name": name}, "webhooks": self.webhooks}

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, changes: Manifest
    ) -> dict[str, Any]:
        assert (resource, namespace, name) == (WEBHOOK_CONFIGURATIONS, None, "finetune")
        self.patches.append(changes)
        [change] = changes["webhooks"]
        assert change["name"] == WEBHOOK
        self.webhooks[0]["clientConfig"].update(change["clientConfig"])
        return {}

    @property
    def bundle(self) -> str:
        return base64.b64decode(self.webhooks[0]["clientConfig"]["caBundle"]).decode()


@pytest.fixture
def cluster() -> Configurations:
    return Configurations()


async def test_writes_the_authority_once(cluster: Configurations, clock: Any) -> None:
    registration = Registration(cluster, "finetune", clock)
    assert "authority" in registration.problem()
    await registration.publish("first")
    await registration.publish("first")
    assert cluster.bundle == "first"
    assert len(cluster.patches) == 1
    assert registration.problem() == ""


async def test_follows_a_new_authority(cluster: Configurations, clock: Any) -> None:
    registration = Registration(cluster, "finetune", clock)
    await registration.publish("first")
    await registration.publish("second")
    assert cluster.bundle == "second"


async def test_mends_what_somebody_else_has_overwritten(cluster: Configurations, clock: Any) -> None:
    registration = Registration(cluster, "finetune", clock)
    await registration.publish("first")
    del cluster.webhooks[0]["clientConfig"]["caBundle"]
    await registration.publish("first")
    assert cluster.bundle == "first"


async def test_without_a_name_it_touches_nothing(cluster: Configurations, clock: Any) -> None:
    registration = Registration(cluster, None, clock)
    await registration.publish("first")
    assert cluster.patches == []
    assert registration.problem() == ""


@pytest.mark.parametrize("refusal", [NotFoundError("gone"), ForbiddenError("no")], ids=str)
async def test_a_registration_that_is_not_to_be_had_delays_readiness_but_does_not_prevent_it(
    cluster: Configurations, clock: Any, refusal: Exception
) -> None:
    cluster.refusal = refusal
    registration = Registration(cluster, "finetune", clock)
    with pytest.raises(type(refusal)):
        await registration.publish("first")
    assert registration.problem()
    clock.advance(PATIENCE_SECONDS + 1)
    assert registration.problem() == ""


async def test_a_configuration_without_our_webhook_is_left_alone(cluster: Configurations, clock: Any) -> None:
    cluster.webhooks = [{"name": "another.example.com", "clientConfig": {}}]
    with pytest.raises(NotFoundError, match=WEBHOOK):
        await Registration(cluster, "finetune", clock).publish("first")
    assert cluster.patches == []
