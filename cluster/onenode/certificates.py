"""The cluster's certificate authorities, certificates and service-account key, as PEM files in one folder."""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=365)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both on disk; the key is readable by its owner only."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that signs into its own folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Creates the authority `name`, or opens it when `folder` holds it already."""
        self._folder = folder
        self.files = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        folder.mkdir(parents=True, exist_ok=True)
        if not self.files.certificate.exists():
            self._create(name)
        key = serialization.load_pem_private_key(self.files.key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())

    @property
    def certificate(self) -> Path:
        """What a client must trust to verify everything signed here."""
        return self.files.certificate

    def issue(
        self, file_name: str, user: str, groups: Iterable[str] = (), hosts: Iterable[str] = ()
    ) -> KeyPair:
        """A certificate for client and server use, kept when it was issued before.

        Kubernetes reads `user` (the common name) and `groups` (organisations) as the identity of a client;
        `hosts` are the names and addresses under which a server may be reached.
        """
        files = KeyPair(self._folder / f"{file_name}.crt", self._folder / f"{file_name}.key")
        if files.certificate.exists():
            return files
        key = ec.generate_private_key(ec.SECP256R1())
        organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            _builder(subject, self._certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if names := [_general_name(host) for host in hosts]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write_key(files.key, key)
        _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return files

    def _create(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNING, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_key(self.files.key, key)
        _write(self.files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def service_account_keys(folder: Path) -> KeyPair:
    """The key with which service-account tokens are signed, and its public half in `certificate`."""
    files = KeyPair(folder / "service-account.pub", folder / "service-account.key")
    if not files.certificate.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_key(files.key, key)
        _write(files.certificate, public)
    return files


_SIGNING = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    # An hour back: the clocks of a machine and of its container may differ.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)


def _write(path: Path, content: bytes) -> None:
    # A crash between the key and the certificate leaves no certificate: both are then made again.
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.rename(path)
