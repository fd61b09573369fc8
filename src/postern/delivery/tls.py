"""TLS towards other servers: contexts made once, and a session in words."""

import ssl
from ipaddress import ip_address
from pathlib import Path

from postern.mail.route import TlsPolicy

_AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"
"""What RFC 9325 §4.2 recommends of TLS 1.2, where a failure is better than weak encryption."""


class TlsContexts:
    """One client context per kind of policy; making one costs milliseconds, so they are kept."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._any: ssl.SSLContext | None = None
        self._verified: ssl.SSLContext | None = None

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """The context for a policy other than NEVER.

        Raises:
            OSError: ``ca_file`` cannot be read.
        """
        if policy is TlsPolicy.VERIFY:
            if self._verified is None:
                self._verified = _verified_context(self._ca_file)
            return self._verified
        if self._any is None:
            self._any = _any_context()
        return self._any


def _verified_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_AEAD)
    return context


def _any_context() -> ssl.SSLContext:
    """Encrypts with whoever answers (RFC 7435); who it is remains unknown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without verification a 1024-bit key, CBC or a key exchange by RSA still beat the plain text
    # we would fall back to; Debian's own level 2 refuses such keys.
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    return context


def server_name(host: str) -> str | None:
    """The name to send in SNI and to check against, or None for an address without a name."""
    name = host.rstrip(".")
    return name or None


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
