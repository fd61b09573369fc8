"""The identities of a conversation that SPF can be asked about.

Source: RFC 7208 §2.3 (HELO), §2.4 (MAIL FROM).
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.address import Address


class Identity(Enum):
    """Which of the client's words was checked; the values are those of RFC 7208 §9.1."""

    HELO = "helo"
    MAIL_FROM = "mailfrom"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the client says it sends for: ``domain`` and ``sender`` are for ``check_host``."""

    identity: Identity
    domain: str
    sender: str


def helo_claim(helo: str) -> Claim:
    """The HELO identity; ``helo`` is the client's word, whatever it is."""
    return Claim(Identity.HELO, helo, f"postmaster@{helo}")


def mail_from_claim(sender: Address | None, helo: str) -> Claim:
    """The MAIL FROM identity; None is the null sender, which stands for postmaster at ``helo``."""
    if sender is None:
        return Claim(Identity.MAIL_FROM, helo, f"postmaster@{helo}")
    return Claim(Identity.MAIL_FROM, sender.domain, str(sender))


def identities(sender: Address | None, helo: str) -> tuple[Claim, Claim]:
    """HELO and MAIL FROM, in the order RFC 7208 §2.3 recommends.

    For the null sender both ask the same, and one check answers both.
    """
    return helo_claim(helo), mail_from_claim(sender, helo)
