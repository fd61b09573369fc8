"""Counts sessions in a worker's memory, until they are added to the file that all workers share.

What is counted, and by what: RFC 8460 §4.3 and §4.4. A day is one of UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from postern.mail.route import Tlsa, TlsDemand, Way
from postern.mail.tlsrpt import PolicyType, TlsResult, Untried, policy_type
from postern.runtime.clock import Clock

MAX_KEYS = 20_000
"""Different results between two writings: beyond these the addresses are left out."""
MAX_STRINGS = 100
"""Lines of a policy that are kept."""


@dataclass(frozen=True, slots=True, order=True)
class Policy:
    """The policy that sessions were under: of ``domain`` (A-labels), with its text.

    ``strings``: the lines of the MTA-STS policy, or the TLSA records; ``mx``: the patterns of the
    policy. Both empty where there is none.
    """

    domain: str
    type: PolicyType
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """So many sessions on one day that went the same way; ``result`` None: well."""

    day: str
    policy: Policy
    result: TlsResult | None
    mx: str
    ip: str
    sending_ip: str
    sessions: int


class PolicyTexts(Protocol):
    """Knows what a domain's MTA-STS policy says."""

    def text_of(self, domain: str) -> tuple[Sequence[str], Sequence[str]]:
        """Its lines and its ``mx`` patterns; both empty where it is not known (any more)."""
        ...


class NoTexts:
    """Knows of none."""

    def text_of(self, domain: str) -> tuple[Sequence[str], Sequence[str]]:
        """Nothing."""
        del domain
        return (), ()


_Key = tuple[str, Policy, TlsResult | None, str, str, str]


class TlsTally:
    """For one worker, on its loop. A ``TlsSessions`` and a ``TlsUntried`` of ``mail.tlsrpt``."""

    def __init__(self, clock: Clock, texts: PolicyTexts | None = None) -> None:
        self._clock = clock
        self._texts = texts or NoTexts()
        self._counts: dict[_Key, int] = {}
        self._sts: dict[str, Policy] = {}

    def session(self, way: Way, domains: Iterable[str], result: TlsResult | None) -> None:
        """One session was tried for mail of these recipients' domains; None: all was well."""
        if way.is_relay:
            return  # what the relay does with it is for the relay to report
        day = day_of(self._clock.now())
        target = way.target
        for domain in domains:
            policy = self._policy(domain, target.tls)
            self._add((day, policy, result, target.host, target.ip, way.egress.source_ip or ""))

    def untried(self, domain: str, why: Untried) -> None:
        """A way for mail to ``domain`` was looked for, and TLS left none: as a session that failed.

        Without an address on either side (RFC 8460 §4.4 wants them where there are any).
        """
        policy = (
            self._sts_policy(domain) if why.type is PolicyType.STS else Policy(domain, why.type)
        )
        self._add((day_of(self._clock.now()), policy, why.result, why.host, "", ""))

    def take(self) -> list[Counted]:
        """What was counted since the last call."""
        taken, self._counts = self._counts, {}
        self._sts.clear()
        return [Counted(*key, sessions=count) for key, count in taken.items()]

    def _add(self, key: _Key) -> None:
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            key = (*key[:3], "", "", "")
        self._counts[key] = self._counts.get(key, 0) + 1

    def _policy(self, domain: str, demand: TlsDemand) -> Policy:
        kind = policy_type(demand)
        if kind is PolicyType.TLSA:
            return Policy(domain, kind, tuple(map(tlsa_text, demand.tlsa[:MAX_STRINGS])))
        return self._sts_policy(domain) if kind is PolicyType.STS else Policy(domain, kind)

    def _sts_policy(self, domain: str) -> Policy:
        known = self._sts.get(domain)
        if known is None:
            lines, mx = self._texts.text_of(domain)
            strings, patterns = tuple(lines[:MAX_STRINGS]), tuple(mx[:MAX_STRINGS])
            known = self._sts[domain] = Policy(domain, PolicyType.STS, strings, patterns)
        return known


def tlsa_text(record: Tlsa) -> str:
    """``3 1 1 1f85…`` (RFC 8460 §4.4: the RDATA's presentation, RFC 6698 §2.2)."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def day_of(now: float) -> str:
    """``2026-11-27``, in UTC."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()
