"""Has a domain's policy looked for anew once a session failed by it (RFC 8461 §5.1)."""

from collections.abc import Iterable
from typing import Protocol

from postern.mail.route import Way
from postern.mail.tlsrpt import STS_SOURCE, TlsResult, TlsSessions


class Doubtful(Protocol):
    """Keeps policies; ``sts.StsPolicies`` is one."""

    def doubt(self, domain: str) -> None:
        """Mail failed by this domain's policy."""
        ...


class StsDoubts:
    """A ``TlsSessions`` between those who try and ``counts``, who is told all."""

    def __init__(self, counts: TlsSessions, policies: Doubtful) -> None:
        self._counts = counts
        self._policies = policies

    def session(self, way: Way, domains: Iterable[str], result: TlsResult | None) -> None:
        """One was tried, for mail to these domains; ``result`` None: all was well."""
        if result is not None and way.target.tls.source == STS_SOURCE:
            domains = tuple(domains)
            for domain in domains:
                self._policies.doubt(domain)
        self._counts.session(way, domains, result)
