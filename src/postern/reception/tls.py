"""Certificates for the listeners: the client's SNI picks one, and they are read again on reload."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL"
"""Forward secrecy and authenticated encryption only (TLS 1.3's own suites are all of that kind)."""


class BadCertificateError(ValueError):
    """A certificate or key that can't be used; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of one certificate with its intermediates, and of its key."""

    cert: Path
    key: Path


class CertificateFilesWatch:
    """Tells when certificates were replaced on disk, as an ACME client does every few weeks."""

    def __init__(self, files: tuple[CertificateFiles, ...]) -> None:
        self._paths = [path for pair in files for path in (pair.cert, pair.key)]
        self._seen = self._look()

    def changed(self) -> bool:
        """True once after each change of any of them; reads the disk, but no file."""
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> list[tuple[int, int, int]]:
        return [_state(path) for path in self._paths]


class Certificates:
    """All our certificates as one context that chooses by the name the client asks for."""

    def __init__(self, files: tuple[CertificateFiles, ...]) -> None:
        """Read them; the first is the one for clients that name none of ours.

        Raises:
            BadCertificateError: a file is missing, unreadable, or the key does not fit.
        """
        self._exact: dict[str, ssl.SSLContext] = {}
        self._wildcard: dict[str, ssl.SSLContext] = {}
        self.context: ssl.SSLContext | None = None
        for pair in files:
            context = _context(pair)
            for name in _names(pair):
                if name.startswith("*."):
                    self._wildcard.setdefault(name[2:], context)
                else:
                    self._exact.setdefault(name, context)
            if self.context is None:
                self.context = context
                context.sni_callback = self._choose

    def _choose(self, tls: ssl.SSLObject, name: str | None, _first: ssl.SSLContext) -> None:
        if name is None:
            return
        wanted = name.lower().rstrip(".")
        found = self._exact.get(wanted) or self._wildcard.get(wanted.partition(".")[2])
        if found is not None:
            tls.context = found


def _state(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(files.cert, files.key)
    except FileNotFoundError as error:
        missing = files.cert if not files.cert.exists() else files.key
        raise BadCertificateError(f"{missing}: no such file") from error
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise BadCertificateError(f"{files.cert} with {files.key}: {reason}") from error
    except OSError as error:
        raise BadCertificateError(f"{files.cert} with {files.key}: {error.strerror}") from error
    return context


def _names(files: CertificateFiles) -> set[str]:
    """The DNS names of a certificate, lower case."""
    names: set[str] = set()
    try:
        certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
        names = {
            str(attribute.value).lower()
            for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        }
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names |= {name.lower() for name in extension.value.get_values_for_type(x509.DNSName)}
    except x509.ExtensionNotFound:
        pass
    except ValueError as error:
        raise BadCertificateError(f"{files.cert}: not a PEM certificate ({error})") from error
    return names


def describe(tls: ssl.SSLObject | ssl.SSLSocket) -> str:
    """``"TLS1.3 TLS_AES_256_GCM_SHA384"``: version and cipher, for Received and the journal."""
    cipher = tls.cipher()
    version = (tls.version() or "TLS").replace("TLSv", "TLS")
    return f"{version} {cipher[0]}" if cipher is not None else version
