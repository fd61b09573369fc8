"""How a session's TLS went, in the words that reports about TLS count by (RFC 8460 §4.3).

One word for each session that was tried: ``None`` where all was well. What failed before any
session (a policy that could not be had) is the ``fault`` of the demand it was opened with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from postern.mail.route import TlsDemand, TlsPolicy, Way


class TlsResult(Enum):
    """The result types of RFC 8460 §4.3; the values are the words on the wire."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"

    @property
    def is_untrusted(self) -> bool:
        """The handshake went well, and the certificate is not what must be there."""
        return self in _UNTRUSTED


_UNTRUSTED = frozenset(
    {
        TlsResult.CERTIFICATE_HOST_MISMATCH,
        TlsResult.CERTIFICATE_EXPIRED,
        TlsResult.CERTIFICATE_NOT_TRUSTED,
        TlsResult.TLSA_INVALID,
    }
)


class PolicyType(Enum):
    """The kind of policy a session was under (RFC 8460 §4.4, ``policy-type``)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


DANE_SOURCE = "dane"
STS_SOURCE = "mta-sts"
STS_TESTING_SOURCE = "mta-sts-testing"
"""``TlsDemand.source`` of demands that the recipient's domain published."""


def policy_type(demand: TlsDemand) -> PolicyType:
    """The kind of policy that ``demand`` comes from."""
    if demand.policy is TlsPolicy.DANE or demand.source == DANE_SOURCE:
        return PolicyType.TLSA
    if demand.source in {STS_SOURCE, STS_TESTING_SOURCE}:
        return PolicyType.STS
    return PolicyType.NONE


_EXPIRED = frozenset({9, 10, 13, 14})
"""X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED, and an error in either of these dates."""
_MISMATCH = frozenset({62, 63, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_MISMATCH, _IP_ADDRESS_MISMATCH."""


def result_of_verification(code: int) -> TlsResult:
    """The result type for an error that OpenSSL's verification ended with (X509_V_ERR_…)."""
    if code in _EXPIRED:
        return TlsResult.CERTIFICATE_EXPIRED
    if code in _MISMATCH:
        return TlsResult.CERTIFICATE_HOST_MISMATCH
    return TlsResult.CERTIFICATE_NOT_TRUSTED


@dataclass(frozen=True, slots=True)
class Untried:
    """Why no session was tried: the policy that stood against it, how, and a host of the domain."""

    type: PolicyType
    result: TlsResult
    host: str


class TlsSessions(Protocol):
    """Who counts sessions, for reports. Called on the event loop; must not block."""

    def session(self, way: Way, domains: Iterable[str], result: TlsResult | None) -> None:
        """One was tried, for mail to these domains; ``result`` None: all was well."""
        ...


class TlsUntried(Protocol):
    """Who counts that none was tried. Called on the event loop; must not block."""

    def untried(self, domain: str, why: Untried) -> None:
        """A way for mail to ``domain`` was looked for, and TLS left none."""
        ...


class Uncounted:
    """Nobody counts them."""

    def session(self, way: Way, domains: Iterable[str], result: TlsResult | None) -> None:
        """Forget it."""

    def untried(self, domain: str, why: Untried) -> None:
        """Forget it."""


UNCOUNTED = Uncounted()
