"""The authorities this machine trusts, as certificates: to say what they would make of a server.

OpenSSL judges where a certificate must be right. This is for where nothing depends on it and the
result is only reported (MTA-STS ``testing``): a handshake that verifies nothing tells no reason.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509

_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
"""Debian's and Red Hat's, where OpenSSL itself reads a folder of links."""


class Roots:
    """Found by name. Read at the first use: a hundred certificates take some 10 ms."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._by_name: dict[x509.Name, list[x509.Certificate]] | None = None

    def named(self, name: x509.Name) -> Iterable[x509.Certificate]:
        """The authorities of this name."""
        if self._by_name is None:
            self._by_name = {}
            for certificate in self._read():
                self._by_name.setdefault(certificate.subject, []).append(certificate)
        return self._by_name.get(name, ())

    def _read(self) -> Iterable[x509.Certificate]:
        places = [self._ca_file] if self._ca_file is not None else _system_bundles()
        for place in places:
            try:
                return x509.load_pem_x509_certificates(place.read_bytes())
            except (OSError, ValueError):
                continue
        return ()


def _system_bundles() -> list[Path]:
    named = ssl.get_default_verify_paths().cafile
    return [*([Path(named)] if named else []), *_BUNDLES]
