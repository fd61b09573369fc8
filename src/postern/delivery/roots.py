"""The authorities this machine trusts, as certificates: to say what they would make of a server.

OpenSSL judges where a certificate must be right. This is for where nothing depends on it and the
result is only reported (MTA-STS ``testing``): a handshake that verifies nothing tells no reason.
"""

import re
import ssl
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from postern.delivery.certificates import load

_BLOCK = re.compile(b"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")
_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
"""Debian's and Red Hat's, where OpenSSL itself reads a folder of links."""


class Roots:
    """Found by name. ``read`` in a thread before the first use: they are a hundred and more."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._by_name: dict[x509.Name, list[x509.Certificate]] | None = None

    def named(self, name: x509.Name) -> Iterable[x509.Certificate]:
        """The authorities of this name."""
        if self._by_name is None:
            self.read()
        return (self._by_name or {}).get(name, ())

    @property
    def is_read(self) -> bool:
        """Whether ``named`` answers at once."""
        return self._by_name is not None

    def read(self) -> None:
        """Read them; where nothing can be read, nobody is trusted."""
        by_name: dict[x509.Name, list[x509.Certificate]] = {}
        for certificate in self._certificates():
            by_name.setdefault(certificate.subject, []).append(certificate)
        self._by_name = by_name

    def _certificates(self) -> list[x509.Certificate]:
        places = [self._ca_file] if self._ca_file is not None else _system_bundles()
        for place in places:
            with suppress(OSError):
                found = [_loaded(der) for der in _blocks(place.read_bytes())]
                certificates = [certificate for certificate in found if certificate is not None]
                if certificates:
                    return certificates
        return []


def _loaded(der: bytes) -> x509.Certificate | None:
    try:
        return load(der)
    except CryptographyDeprecationWarning:
        # Of an old root with a serial number of 0; an exception where warnings are errors.
        return None


def _blocks(pem: bytes) -> Iterable[bytes]:
    """Each certificate in DER: one that cannot be read does not take the others with it."""
    for block in _BLOCK.findall(pem):
        with suppress(ValueError):
            yield b64decode(block)


def _system_bundles() -> list[Path]:
    named = ssl.get_default_verify_paths().cafile
    return [*([Path(named)] if named else []), *_BUNDLES]
