"""Fetches a domain's MTA-STS policy by HTTPS, strictly and within bounds (RFC 8461 §3.3).

The certificate must be good for ``mta-sts.DOMAIN``. No redirect is followed, no proxy asked, no
more read than a policy may be long, and one time limit holds for all that is asked, from when there
is a slot for it (``sts_slots``). Names are looked up by our own resolver. h11 knows the protocol;
the octets are moved here.
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
from postern.routing.tls.sts_slots import Slots
from postern.runtime.resolver.lookup import Lookup

HTTPS_PORT = 443
PATH = "/.well-known/mta-sts.txt"
MAX_ADDRESSES = 4
_AGENT = "Postern"


@dataclass(frozen=True, slots=True)
class StsSettings:
    """How policies are fetched.

    ``limit_s`` is for one fetch, from the first connection to the last octet; finding addresses and
    waiting for a slot are not in it. ``port``: other than 443 in laboratories, where hosts may also
    be on this machine. ``ca_file``: the authorities to trust; None: the system's.
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


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Too many others were being asked: this says nothing of the domain."""


NOT_ASKED = NotAsked()


class StsFetcher:
    """Fetches. Belongs to one event loop.

    Attributes:
        asking: the domains whose servers are being asked, by now.
    """

    def __init__(
        self,
        lookup: Lookup,
        settings: StsSettings,
        *,
        has_ipv6: bool,
        slots: Slots | None = None,
    ) -> None:
        self._lookup = lookup
        self._settings = settings
        self._has_ipv6 = has_ipv6
        self._slots = slots or Slots()
        self._making: asyncio.Task[ssl.SSLContext] | None = None
        self.asking: set[str] = set()

    async def fetch(self, domain: str) -> bytes | NotFetched | NotAsked:
        """The body as served, within ``limit_s`` of asking; never raises for what others do."""
        host = f"mta-sts.{domain}"
        found = await find_addresses(self._lookup, host, want_ipv6=self._has_ipv6)
        ips = [ip for ip in (*found.ipv4, *found.ipv6) if self._may_ask(ip)][:MAX_ADDRESSES]
        result: bytes | NotFetched = _failed(f"has no address that can be asked at {host}")
        left_s, were_all_asked = self._settings.limit_s, True
        loop = asyncio.get_running_loop()
        for ip in ips:
            async with self._slots.taken(ip) as has_slot:
                if not has_slot:
                    were_all_asked = False
                    continue
                began = loop.time()
                result = await self._ask(domain, ip, left_s)
                left_s -= loop.time() - began
            if isinstance(result, bytes):
                return result
            if left_s <= 0:
                break
        return result if were_all_asked else NOT_ASKED

    async def _ask(self, domain: str, ip: str, left_s: float) -> bytes | NotFetched:
        """At one address, within ``left_s``."""
        self.asking.add(domain)
        try:
            async with asyncio.timeout(left_s):
                return await self._fetch_at(f"mta-sts.{domain}", ip)
        except TimeoutError:
            return _failed(f"did not serve its policy within {self._settings.limit_s:.0f} s")
        finally:
            self.asking.discard(domain)

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
        return await asyncio.open_connection(
            ip, self._settings.port, ssl=await self._context(), server_hostname=host
        )

    async def _context(self) -> ssl.SSLContext:
        """Made once, by a thread; whoever leaves while it is made does not take it from others."""
        making = self._making
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = self._making = asyncio.create_task(asyncio.to_thread(self._make_context))
        return await asyncio.shield(making)

    def _make_context(self) -> ssl.SSLContext:
        """Reading a hundred authorities takes some 20 ms."""
        context = ssl.create_default_context(cafile=str(self._settings.ca_file or "") or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False  # RFC 8461 §3.3: by a DNS-ID alone
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
