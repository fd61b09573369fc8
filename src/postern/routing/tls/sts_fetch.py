"""Fetches a domain's MTA-STS policy by HTTPS, strictly and within bounds (RFC 8461 §3.3).

The certificate must be good for ``mta-sts.DOMAIN``. No redirect is followed, no proxy asked, no
more read than a policy may be long, and one time limit holds for all of it. Names are looked up by
our own resolver. h11 knows the protocol; the octets are moved here.
"""

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import h11

from postern.mail.sts import MAX_POLICY_BYTES
from postern.mail.tlsrpt import TlsResult
from postern.routing.hosts import find_addresses
from postern.runtime.resolver.lookup import Lookup

HTTPS_PORT = 443
PATH = "/.well-known/mta-sts.txt"
MAX_ADDRESSES = 4
MAX_AT_ONCE = 20
"""Fetches of one worker: strangers decide how many policies there are."""
_AGENT = "Postern"


@dataclass(frozen=True, slots=True)
class StsSettings:
    """How policies are fetched.

    ``limit_s`` is for one fetch from the first look-up to the last octet. ``port``: other than 443
    in laboratories, where hosts may also be on this machine. ``ca_file``: the authorities to
    trust; None: the system's.
    """

    limit_s: float = 30.0
    connect_s: float = 8.0
    port: int = HTTPS_PORT
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Why there is no policy: what reports call it, and words to follow a domain's name."""

    result: TlsResult
    text: str


class StsFetcher:
    """Fetches. Belongs to one event loop."""

    def __init__(self, lookup: Lookup, settings: StsSettings, *, has_ipv6: bool) -> None:
        self._lookup = lookup
        self._settings = settings
        self._has_ipv6 = has_ipv6
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._context: ssl.SSLContext | None = None

    async def fetch(self, domain: str) -> bytes | NotFetched:
        """The body as served, within ``limit_s``; never raises for what others do."""
        try:
            async with asyncio.timeout(self._settings.limit_s), self._slots:
                return await self._fetch(f"mta-sts.{domain}")
        except TimeoutError:
            return _failed(f"did not serve its policy within {self._settings.limit_s:.0f} s")

    async def _fetch(self, host: str) -> bytes | NotFetched:
        found = await find_addresses(self._lookup, host, want_ipv6=self._has_ipv6)
        ips = [ip for ip in (*found.ipv4, *found.ipv6) if self._may_ask(ip)][:MAX_ADDRESSES]
        result: bytes | NotFetched = _failed(f"has no address that can be asked at {host}")
        for ip in ips:
            result = await self._fetch_at(host, ip)
            if isinstance(result, bytes):
                break
        return result

    def _may_ask(self, ip: str) -> bool:
        """No stranger's zone sends us to knock at addresses of our own network."""
        return self._settings.port != HTTPS_PORT or ipaddress.ip_address(ip).is_global

    async def _fetch_at(self, host: str, ip: str) -> bytes | NotFetched:
        try:
            async with asyncio.timeout(self._settings.connect_s):
                reader, writer = await self._connect(host, ip)
        except ssl.SSLCertVerificationError as error:
            words = f"has no good certificate at {host}: {error.verify_message}"
            return NotFetched(TlsResult.STS_WEBPKI_INVALID, words)
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error) or "no answer"
            return _failed(f"could not be asked at {host} [{ip}]: {words}")
        try:
            return await _get(host, reader, writer)
        except (OSError, EOFError, RuntimeError, h11.ProtocolError) as error:
            # uvloop has a RuntimeError for writing to who has hung up.
            return _failed(f"did not serve its policy at {host}: {str(error) or 'it hung up'}")
        finally:
            writer.transport.abort()

    async def _connect(
        self, host: str, ip: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_context)
        return await asyncio.open_connection(
            ip, self._settings.port, ssl=self._context, server_hostname=host
        )

    def _make_context(self) -> ssl.SSLContext:
        """Reading a hundred authorities takes some 20 ms."""
        context = ssl.create_default_context(cafile=str(self._settings.ca_file or "") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


async def _get(
    host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes | NotFetched:
    """One request and its answer (RFC 9112).

    Raises:
        OSError: the connection broke.
        EOFError: it ended early.
        h11.ProtocolError: this is no HTTP.
    """
    machine = h11.Connection(h11.CLIENT)
    fields = [("Host", host), ("User-Agent", _AGENT), ("Accept", "text/plain")]
    request = h11.Request(method="GET", target=PATH, headers=[*fields, ("Connection", "close")])
    writer.write((machine.send(request) or b"") + (machine.send(h11.EndOfMessage()) or b""))
    body = bytearray()
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            machine.receive_data(await reader.read(16_384))
        elif isinstance(event, h11.Response):
            flaw = _flaw(event)
            if flaw is not None:
                return flaw
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_POLICY_BYTES:
                words = f"has a policy longer than {MAX_POLICY_BYTES} octets"
                return NotFetched(TlsResult.STS_POLICY_INVALID, words)
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError


def _flaw(response: h11.Response) -> NotFetched | None:
    """None for an answer whose body is a policy."""
    if response.status_code != 200:  # a redirect, too, is not followed (RFC 8461 §3.3)
        return _failed(f"answered {response.status_code} when asked for its policy")
    kinds = [value for name, value in response.headers if name == b"content-type"]
    kind = kinds[0].partition(b";")[0].strip().lower() if kinds else b""
    if kind != b"text/plain":
        words = "serves its policy as something other than text/plain"
        return NotFetched(TlsResult.STS_POLICY_INVALID, words)
    return None


def _failed(text: str) -> NotFetched:
    return NotFetched(TlsResult.STS_POLICY_FETCH_ERROR, text)
