"""What can be set about reception."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


class Kind(Enum):
    """What a listener is for; the values are the words of the configuration.

    ``submissions`` speaks TLS from the first octet (RFC 8314 §3.3).
    """

    MX = "mx"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One address that mail comes in on. ``bind`` is as configured, for people.

    ``examines``: who comes from outside is looked at by the checks. ``greeting_wait_s``: how long
    such a client waits for our greeting the first time, so that one who does not wait is found.
    """

    kind: Kind
    bind: str
    proxy_protocol: tuple[Network, ...] = ()
    relay_from: tuple[Network, ...] = ()
    is_unix: bool = False
    examines: bool = True
    greeting_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """Names and limits; those of connections are for all workers together.

    ``defers_mixed``: recipients of one message have the same rules, or come in one of their own.
    ``relay_accounts``: keys of accounts that may send as anybody.
    """

    hostname: str
    worker: int = 0
    max_message_bytes: int = 50 * 1024 * 1024
    max_recipients: int = 1000
    connections: int = 10_000
    connections_per_address: int = 50
    commands_per_session: int = 100_000
    errors_per_session: int = 20
    idle_s: float = 300.0
    session_s: float = 7200.0
    proxy_header_s: float = 3.0
    max_hops: int = 100
    accept_bare_newlines: bool = False
    expire_s: float = 5 * 86_400.0
    defers_mixed: bool = False
    relay_accounts: frozenset[str] = frozenset()
