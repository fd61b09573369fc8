"""Names as the directory keeps them: one spelling for each domain, local part and folder.

People type ``Wang@Bücher.example``; tables, caches and folders hold ``wang`` and
``xn--bcher-kva.example``. Local parts are compared without case, as every hosting customer
expects, although RFC 5321 §2.4 lets a server tell ``Wang`` from ``wang``.
"""

import ipaddress
import re
import unicodedata

from postern.directory.model import HostPort
from postern.mail.address import Address, normalise_domain, parse_address

POSTMASTER = "postmaster"

SMTP_PORT = 25
_HOST_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")


def read_domain(text: str) -> str | None:
    """The domain a person typed, as lower-case A-labels; None when it is not a domain name.

    U-labels are taken, a final dot is dropped. Address literals and IP addresses are not domains.
    """
    name = normalise_domain(text)
    return None if name is None or name.rpartition(".")[2].isdigit() else name


def read_host_port(text: str) -> HostPort | None:
    """``mail.customer.example:2525``, ``192.0.2.1``, ``[2001:db8::1]:25``; None when it is neither.

    The port is 25 when none is named. A single label such as ``localhost`` is a host.
    """
    found = _HOST_PORT.fullmatch(text.strip())
    if found is None:
        return None
    bracketed, plain, port_text = found.groups()
    host = _read_ip(bracketed, 6) if bracketed else _read_ip(plain, 4) or read_domain(plain)
    port = int(port_text or SMTP_PORT)
    return HostPort(host, port) if host and 0 < port < 65_536 else None


def _read_ip(text: str, version: int) -> str | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(ip) if ip.version == version else None


def read_address(text: str) -> Address | None:
    """The address a person typed, or None when it is not one; the bare ``postmaster`` is one.

    The local part keeps its case, because outside its own domain only the owner may fold it.
    """
    if text.strip().lower() == POSTMASTER:
        return Address(POSTMASTER, "")
    return parse_address(text)


def local_key(local: str) -> str:
    """The one spelling of a local part of ours: NFC, lower case."""
    if local.isascii():
        return local.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


def key_of(address: Address) -> Address:
    """The one spelling of an address of ours."""
    return Address(local_key(address.local), address.domain.lower())


def without_tag(key: str, separator: str | None) -> str | None:
    """``wang`` for ``wang+tag``; None where there is no tag, no name before it, or no separator."""
    if not separator:
        return None
    base, found, _ = key.partition(separator)
    return base if found and base else None


def home_path(domain: str, key: str) -> str:
    """``<domain>/<localpart>``: a mailbox's folder, safe as a relative path, one per mailbox.

    Slash, percent sign, controls and a leading dot become ``%2F`` and the like, so that no local
    part can leave its domain's folder or hide in it; other characters stay, as UTF-8.
    """
    return f"{_safe_name(domain)}/{_safe_name(key)}"


def _safe_name(name: str) -> str:
    safe = "".join(f"%{ord(c):02X}" if c in "/%\x7f" or c < " " else c for c in name)
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe
