"""A small S3: buckets in memory behind the real protocol, with signatures (AWS's version 4) that are checked.

Only what readers need: GET (also of ranges) and HEAD of objects, HEAD of buckets, ListObjectsV2.
"""

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Bucket:
    """Objects by key. A public bucket answers anybody; a torn object is promised whole and sent by half."""

    objects: dict[str, bytes]
    public: bool = False
    torn: set[str] = field(default_factory=set)


class S3Server(ThreadingHTTPServer):
    """Buckets by name, and the secret key of each access key."""

    daemon_threads = True

    def __init__(self, buckets: dict[str, Bucket], keys: dict[str, str], region: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets = buckets
        self.keys = keys
        self.region = region
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running(
    buckets: dict[str, Bucket], keys: dict[str, str], region: str = "us-east-1"
) -> Iterator[S3Server]:
    with S3Server(buckets, keys, region) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        name, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        self.server.asked.append(f"{self.command} {self.path}")
        bucket = self.server.buckets.get(name)
        problem = self._refusal(bucket)
        if problem is not None:
            self._error(403, problem)
        elif bucket is None:
            self._error(404, "NoSuchBucket")
        elif not key:
            self._list(name, bucket)
        elif key not in bucket.objects:
            self._error(404, "NoSuchKey")
        else:
            self._object(key, bucket)

    def _object(self, key: str, bucket: Bucket) -> None:
        whole = bucket.objects[key]
        start, end = 0, len(whole)
        asked = self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(len(whole), int(last) + 1 if last else len(whole))
        body = whole[start:end]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(whole)}")
        self.send_header("ETag", f'"{hashlib.sha256(whole).hexdigest()[:32]}"')
        self.send_header("Last-Modified", "Sat, 01 Nov 2025 10:00:00 GMT")
        self.end_headers()
        if self.command == "HEAD":
            return
        if key in bucket.torn:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def _list(self, name: str, bucket: Bucket) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        contents, prefixes = [], []
        for key, content in sorted(bucket.objects.items()):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.append(prefix + rest.split(delimiter)[0] + delimiter)
                continue
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size>"
                "<LastModified>2025-11-01T10:00:00.000Z</LastModified></Contents>"
            )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(found)}</Prefix></CommonPrefixes>"
            for found in dict.fromkeys(prefixes)
        )
        self._xml(
            200,
            f"<ListBucketResult><Name>{name}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(contents) + len(set(prefixes))}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{''.join(contents)}{common}</ListBucketResult>",
        )

    def _error(self, status: int, code: str) -> None:
        self._xml(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")

    def _xml(self, status: int, text: str) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refusal(self, bucket: Bucket | None) -> str | None:
        """S3's code for a request that is not let in."""
        header = self.headers.get("Authorization")
        if header is None:
            return None if bucket is None or bucket.public else "AccessDenied"
        fields = dict(part.strip().split("=", 1) for part in header.partition(" ")[2].split(","))
        access, day, region, service, _ = fields["Credential"].split("/")
        if access not in self.server.keys:
            return "InvalidAccessKeyId"
        if region != self.server.region:
            return "AuthorizationHeaderMalformed"
        signed = self._signature(self.server.keys[access], day, region, service, fields["SignedHeaders"])
        return None if hmac.compare_digest(signed, fields["Signature"]) else "SignatureDoesNotMatch"

    def _signature(self, secret: str, day: str, region: str, service: str, names: str) -> str:
        parts = urlsplit(self.path)
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        request = "\n".join(
            [
                self.command,
                quote(unquote(parts.path), safe="/-_.~"),
                "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query),
                *(f"{name}:{' '.join(self.headers[name].split())}" for name in names.split(";")),
                "",
                names,
                self.headers["x-amz-content-sha256"],
            ]
        )
        scope = f"{day}/{region}/{service}/aws4_request"
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.headers["x-amz-date"],
                scope,
                hashlib.sha256(request.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{secret}".encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""
