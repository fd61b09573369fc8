"""Places as settings write them: ``127.0.0.1:25``, ``[::1]:25``, ``unix:run/submit.sock``."""

from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

MAX_SOCKET_PATH_BYTES = 107
"""What ``sun_path`` holds (unix(7)), less its ending NUL."""


class Bind(Struct, frozen=True):
    """An address and port, or the path of a unix socket; exactly one of the two."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """The place that ``text`` names.

    ``localhost`` is 127.0.0.1 and ``*`` every IPv4 address; other names are refused, because what
    they mean could change between two starts.

    Raises:
        ValueError: a sentence that says what was expected.
    """
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise ValueError("expected a path behind 'unix:'")
        return Bind(path=Path(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("expected 'ADDRESS:PORT', '[IPv6]:PORT' or 'unix:PATH'")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"expected a port from 0 to 65535 behind the last colon, got {port!r}")
    return Bind(host=_address(host), port=int(port))


def _address(host: str) -> str:
    if host in {"localhost", "*"}:
        return "127.0.0.1" if host == "localhost" else "0.0.0.0"  # noqa: S104 - asked for with '*'
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"expected an IP address before the port, got {host!r}") from None
    if (address.version == 6) != bracketed:
        raise ValueError("expected brackets around an IPv6 address, and only there: '[::1]:25'")
    return str(address)


def parse_host_port(text: str) -> tuple[str, int]:
    """A host name or address with its port, for places we connect to.

    Raises:
        ValueError: a sentence that says what was expected.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        raise ValueError(f"expected 'HOST:PORT', got {text!r}")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, got {port}")
    return host.removeprefix("[").removesuffix("]"), int(port)
