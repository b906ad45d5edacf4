"""The servers' certificate: kept in one Secret, renewed in time, changed without a restart.

The operator makes an authority and a leaf when the Secret is absent, and renews what it made. A Secret
without the authority's `ca.key` belongs to somebody else (cert-manager, an administrator): it is read again
every so often, and written only when it has run out where the operator may make one. Attempts carry `ca.crt`
in their ConfigMap, so the authority must outlive them: it lives ten years, a leaf 90 days.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from finetune_operator.cluster import SECRETS, Manifest, Resource
from finetune_operator.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from finetune_operator.labels import MANAGED_BY, MANAGER
from finetune_operator.serving.certificates import (
    KeyPair,
    can_sign,
    is_due,
    is_over,
    names_of,
    new_authority,
    new_leaf,
)

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class SecretStore(Protocol):
    """What is needed of the cluster."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one Secret."""

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> dict[str, Any]:
        """Create one Secret."""

    async def replace(
        self, resource: Resource, namespace: str, name: str, manifest: Manifest, subresource: str = ""
    ) -> dict[str, Any]:
        """Write one Secret if it has not changed."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the Secret holds; `authority_key` is empty when the authority is not ours."""

    leaf: KeyPair
    authority: str
    authority_key: str

    @property
    def ours(self) -> bool:
        """True when the operator may sign with this authority.

        A `ca.key` that was ours once stays in the Secret when cert-manager writes its own authority there.
        """
        return bool(self.authority_key) and can_sign(KeyPair(self.authority, self.authority_key))


class ServerCertificate:
    """Loads, makes and renews the certificate; `context` always serves the newest one."""

    def __init__(
        self,
        store: SecretStore,
        namespace: str,
        secret: str,
        names: list[str],
        may_make: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`names` are the DNS names that clients use. Unless `may_make`, an absent Secret is waited for."""
        self._store = store
        self._namespace = namespace
        self._secret = secret
        self._names = names
        self._may_make = may_make
        self._clock = clock
        self._material: Material | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def authority(self) -> str:
        """PEM of the authority that clients must trust.

        Raises:
            RuntimeError: nothing has been loaded yet.
        """
        if self._material is None:
            raise RuntimeError("no certificate has been loaded yet")
        return self._material.authority

    async def refresh(self) -> None:
        """Bring Secret and `context` up to date: create, renew or load, whichever is needed.

        Raises:
            ApiError: the Secret could not be read or written; what was loaded before stays in use.
            ValueError: the Secret lacks a key that is needed, or holds what cannot be served; what was loaded
                before stays in use.
        """
        for _ in range(3):
            try:
                secret = await self._store.get(SECRETS, self._namespace, self._secret)
            except NotFoundError:
                if not self._may_make:
                    raise
                material = self._issue(new_authority(f"{self._secret}.{self._namespace}", self._clock()))
                try:
                    await self._store.create(SECRETS, self._namespace, self._manifest(material))
                except AlreadyExistsError:
                    continue  # somebody was faster: theirs counts
                logger.info("made a new authority and certificate in Secret %s", self._secret)
                self._load(material)
                return
            material = self._read(secret)
            if not self._must_renew(material):
                self._load(material)
                if is_over(material.leaf.certificate, self._clock()):
                    logger.error(
                        "the certificate in Secret %s has run out: whoever keeps it must renew it",
                        self._secret,
                    )
                return
            material = self._renew(material)
            version = secret["metadata"]["resourceVersion"]
            try:
                await self._store.replace(
                    SECRETS, self._namespace, self._secret, self._manifest(material, version)
                )
            except ConflictError:
                continue
            logger.info("renewed the certificate in Secret %s", self._secret)
            self._load(material)
            return
        raise ApiError(f"Secret {self._namespace}/{self._secret} keeps changing under our hands")

    async def keep_fresh(self, publish: Callable[[str], Awaitable[None]], every: float) -> None:
        """Refresh now and `every` so many seconds, for ever, and let `publish` tell clients the authority.

        A failure is logged and tried again, soon at first.
        """
        retry = RETRY_SECONDS
        while True:
            try:
                await self.refresh()
                await publish(self.authority)
            except (ApiError, ValueError) as error:
                logger.error("the certificate could not be refreshed, or not be made known: %s", error)
                await asyncio.sleep(retry)
                retry = min(2 * retry, every)
            else:
                retry = RETRY_SECONDS
                await asyncio.sleep(every)

    def _must_renew(self, material: Material) -> bool:
        leaf, now = material.leaf.certificate, self._clock()
        if not self._may_make:
            return False
        if not material.ours:
            return is_over(leaf, now)  # cert-manager's, for instance, after a change back to our own
        return is_due(leaf, now) or not set(self._names) <= names_of(leaf)

    def _renew(self, material: Material) -> Material:
        authority = KeyPair(material.authority, material.authority_key)
        if not material.ours or is_due(authority.certificate, self._clock()):
            authority = new_authority(f"{self._secret}.{self._namespace}", self._clock())
        return self._issue(authority)

    def _issue(self, authority: KeyPair) -> Material:
        return Material(new_leaf(authority, self._names, self._clock()), authority.certificate, authority.key)

    def _load(self, material: Material) -> None:
        if material == self._material:
            return
        # The ssl module reads chains from files only; a context that is in use serves the new one from now
        # on.
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
            key.touch(mode=0o600)
            certificate.write_text(material.leaf.certificate, encoding="utf-8")
            key.write_text(material.leaf.key, encoding="utf-8")
            self._require_pair(certificate, key)
            self.context.load_cert_chain(certificate, key)
        self._material = material

    def _read(self, secret: Manifest) -> Material:
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        missing = [key for key in ("tls.crt", "tls.key", "ca.crt") if not data.get(key)]
        if missing:
            remedy = ", or delete it and the operator makes a new one" if self._may_make else ""
            raise ValueError(
                f"Secret {self._namespace}/{self._secret} lacks {', '.join(missing)}: "
                f"give it tls.crt, tls.key and ca.crt{remedy}"
            )
        return Material(KeyPair(data["tls.crt"], data["tls.key"]), data["ca.crt"], data.get("ca.key", ""))

    def _require_pair(self, certificate: Path, key: Path) -> None:
        """Try the files out: a context that they do not fit serves nothing any more, not even the old ones.

        Without a password given, a key that needs one would be asked for on the terminal.
        """
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            raise ValueError(
                f"Secret {self._namespace}/{self._secret}: tls.crt and tls.key cannot be served ({error}): "
                "write both at once, in PEM, the key without a password"
            ) from error

    def _manifest(self, material: Material, version: str | None = None) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self._secret,
            "namespace": self._namespace,
            "labels": {MANAGED_BY: MANAGER},
        }
        if version is not None:
            metadata["resourceVersion"] = version
        data = {
            "tls.crt": material.leaf.certificate,
            "tls.key": material.leaf.key,
            "ca.crt": material.authority,
            "ca.key": material.authority_key,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
