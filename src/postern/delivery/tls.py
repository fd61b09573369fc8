"""TLS towards other servers: how a handshake is made for what is demanded, a session in words."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from postern.delivery.certificates import (
    NO_CERTIFICATE,
    Anchors,
    Distrust,
    chain_of,
    load,
    name_flaw,
    path_flaw,
)
from postern.delivery.dane import dane_flaw
from postern.delivery.roots import Roots
from postern.mail.route import TlsDemand, TlsPolicy
from postern.mail.tlsrpt import STS_TESTING_SOURCE
from postern.runtime.clock import Clock

_AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"
"""What RFC 9325 §4.2 recommends of TLS 1.2, where a failure is better than weak encryption."""

Vet = Callable[[ssl.SSLObject], Distrust | None]
"""What a session's certificate lacks; called once the handshake is through."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """How one is made, and what must be true of the server afterwards.

    ``vet``: what OpenSSL does not look at itself. ``only_reports``: what it finds ends nothing.
    """

    context: ssl.SSLContext
    server_name: str | None
    vet: Vet | None = None
    only_reports: bool = False


class TlsContexts:
    """One client context per kind of policy; making one costs milliseconds, so they are kept.

    Args:
        clock: certificates must be valid at its date.
        ca_file: the authorities to trust; None: the system's.
    """

    def __init__(self, clock: Clock, ca_file: Path | None = None) -> None:
        self._clock = clock
        self._ca_file = ca_file
        self._roots = Roots(ca_file)
        self._made: dict[str, ssl.SSLContext] = {}

    def handshake(self, demand: TlsDemand, host: str) -> Handshake:
        """For a demand other than NEVER, with a server found as ``host`` (empty: by address).

        Raises:
            OSError: ``ca_file`` cannot be read.
        """
        own = server_name(host)
        names = demand.names or ((own,) if own is not None else ())
        name = server_name(names[0]) if names else None
        kind = _kind_for(demand)
        context = self._context(kind)
        match kind:
            case "named":
                return Handshake(context, name, lambda s: _named(s, names))
            case "verified":
                return Handshake(context, name)
            case "dane":
                return Handshake(context, name, self._dane(demand, names))
            case _:
                vet = self._public(names) if demand.source == STS_TESTING_SOURCE else None
                return Handshake(context, name, vet, only_reports=True)

    def is_ready(self, demand: TlsDemand) -> bool:
        """Whether a handshake for it can be made without reading files."""
        needs_roots = demand.source == STS_TESTING_SOURCE
        return _kind_for(demand) in self._made and (self._roots.is_read or not needs_roots)

    def prepare(self, demand: TlsDemand) -> None:
        """Read what it takes; some 20 ms, so in a thread.

        Raises:
            OSError: ``ca_file`` cannot be read.
        """
        self._context(_kind_for(demand))
        if demand.source == STS_TESTING_SOURCE:
            self._roots.read()

    def _context(self, kind: str) -> ssl.SSLContext:
        context = self._made.get(kind)
        if context is None:
            context = self._made[kind] = self._make(kind)
        return context

    def _make(self, kind: str) -> ssl.SSLContext:
        if kind == "any":
            return _any_context()
        if kind == "dane":
            context = _any_context()
        else:
            context = ssl.create_default_context(cafile=str(self._ca_file or "") or None)
            context.check_hostname = kind == "verified"
            context.hostname_checks_common_name = False  # RFC 8461 §4.1: SAN alone
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_AEAD + ":@SECLEVEL=1" if kind == "dane" else _AEAD)
        return context

    def _dane(self, demand: TlsDemand, names: Sequence[str]) -> Vet:
        def vet(session: ssl.SSLObject) -> Distrust | None:
            return dane_flaw(chain_of(session), demand.tlsa, names, self._today())

        return vet

    def _public(self, names: Sequence[str]) -> Vet:
        """What public authorities would make of the server, where that is only to be reported."""

        def vet(session: ssl.SSLObject) -> Distrust | None:
            chain = [one for der in chain_of(session) if (one := load(der)) is not None]
            if not chain:
                return NO_CERTIFICATE
            anchors = Anchors(self._roots.named)
            return path_flaw(chain, anchors, self._today()) or name_flaw(chain[0], names)

        return vet

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


def _kind_for(demand: TlsDemand) -> str:
    """Which context it takes."""
    if demand.policy is TlsPolicy.VERIFY:
        return "named" if len(demand.names) > 1 else "verified"
    return "dane" if demand.policy is TlsPolicy.DANE else "any"


def _named(session: ssl.SSLObject, names: Sequence[str]) -> Distrust | None:
    shown = session.getpeercert(binary_form=True)
    certificate = load(shown) if shown else None
    return NO_CERTIFICATE if certificate is None else name_flaw(certificate, names)


def _any_context() -> ssl.SSLContext:
    """Encrypts with whoever answers (RFC 7435); who it is remains unknown, or is seen later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without verification a 1024-bit key, CBC or a key exchange by RSA still beat the plain text
    # we would fall back to; Debian's own level 2 refuses such keys.
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    return context


def server_name(host: str) -> str | None:
    """The name to send in SNI and to check against; None: there is none.

    Of an address literal the bare address: it is checked, and never sent (RFC 6066 §3).
    """
    if host.startswith("["):
        text = host.removeprefix("[").removesuffix("]")
        bare = text[5:] if text[:5].lower() == "ipv6:" else text
        try:
            return str(ip_address(bare))
        except ValueError:
            return None
    return host.rstrip(".") or None


def session_text(session: ssl.SSLObject | None) -> str:
    """``TLS1.3 TLS_AES_256_GCM_SHA384``, or nothing without TLS."""
    if session is None:
        return ""
    cipher = session.cipher()
    version = (session.version() or "").replace("v", "", 1)
    return f"{version} {cipher[0]}" if cipher else version


def is_loopback(ip: str) -> bool:
    """True for an address that never leaves this machine."""
    try:
        return ip_address(ip).is_loopback
    except ValueError:
        return False
