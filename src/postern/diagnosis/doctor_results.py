"""What the doctor says, and what it is told about the site."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from postern.policy.scanners.settings import ScannerSettings
from postern.runtime.resolver.settings import ResolverSettings


class Grade(Enum):
    """How bad it is; "couldn't tell" is never a problem."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    COULDNT_TELL = "couldnt-tell"


@dataclass(frozen=True, slots=True)
class Result:
    """One thing looked at.

    Attributes:
        check: stable id: ``limits.open-files``.
        grade: how it is.
        what: one sentence with the numbers.
        whose: whose side it is: ``us``, ``between`` (the network) or ``nobody``.
        fix: what to do; empty when there is nothing.
    """

    check: str
    grade: Grade
    what: str
    whose: str = "nobody"
    fix: str = ""


def ok(check: str, what: str) -> Result:
    """All is well."""
    return Result(check, Grade.OK, what)


def warning(check: str, what: str, fix: str) -> Result:
    """It works, and will not for ever."""
    return Result(check, Grade.WARNING, what, "us", fix)


def problem(check: str, what: str, fix: str) -> Result:
    """Mail suffers, or will as soon as the server starts."""
    return Result(check, Grade.PROBLEM, what, "us", fix)


def couldnt_tell(check: str, what: str, fix: str = "", whose: str = "nobody") -> Result:
    """There was no answer."""
    return Result(check, Grade.COULDNT_TELL, what, whose, fix)


def exit_code(results: Sequence[Result]) -> int:
    """The worst of all: 2 problem, else 1 warning, else 3 couldn't tell, else 0."""
    grades = {result.grade for result in results}
    for grade, code in ((Grade.PROBLEM, 2), (Grade.WARNING, 1), (Grade.COULDNT_TELL, 3)):
        if grade in grades:
            return code
    return 0


@dataclass(frozen=True, slots=True)
class Door:
    """One listener: its setting, its place as written, and the address to try; 0 takes any port."""

    setting: str
    text: str
    host: str = ""
    port: int = 0
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class NamedServer:
    """One DNS server of a resolver; transport ``udp``, ``tcp`` or ``tls``.

    ``trusted``: as configured; None: nothing is.
    """

    resolver: str
    host: str
    port: int
    transport: str
    timeout_s: float
    trusted: bool | None = None


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its private key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Sender:
    """A way out that goes straight to mail hosts: where it sends from, and the name it gives.

    ``source`` empty: the addresses of ``helo``.
    """

    egress: str
    source: str
    helo: str


@dataclass(frozen=True, slots=True)
class Site:
    """What the doctor needs to know of the configuration.

    ``need_bytes`` is the free space under which mail is no longer accepted; ``need_files`` the most
    descriptors one worker may want; ``largest_bytes`` the size of the largest message we take.
    ``lookups``: resolvers as the server has them; ``blocklists``: lists of addresses it asks.
    """

    hostname: str
    data_dir: Path
    run_dir: Path
    user: str
    workers: int
    doors: tuple[Door, ...]
    resolvers: tuple[NamedServer, ...]
    certificates: tuple[CertificateFiles, ...]
    need_bytes: int
    need_files: int
    has_ballast: bool
    secrets: tuple[Path, ...] = ()
    scanners: tuple[ScannerSettings, ...] = ()
    largest_bytes: int = 0
    relays: tuple[str, ...] = ()
    senders: tuple[Sender, ...] = ()
    blocklists: tuple[str, ...] = ()
    lookups: tuple[ResolverSettings, ...] = ()
