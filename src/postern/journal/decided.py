"""A decision as it lies on file, and which ones somebody looks for."""

from dataclasses import dataclass
from typing import NamedTuple

from postern.journal.query import Network


class DecisionRow(NamedTuple):
    """One decision, as its day file has it; see ``DecisionRecord`` and ``HeardRecord``.

    ``number`` is its conversation's, ``places`` how many decisions the transaction has.
    """

    number: int
    at: float
    places: int
    flags: int
    owner: str
    domain: str
    named: str
    ip: bytes | None
    helo: str
    ptr: str
    mail_from: str | None
    authors: str | None
    list_id: str
    proven_early: str
    proven: str
    early: str
    found: str | None
    subject: str


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which decisions to look at: at least those that fit all that is given, perhaps a few more.

    Attributes:
        since: seconds since 1970.
        owner: whose rules counted, an address in lower case.
        domain: the one that was written to.
        address: the sender or an author, in lower case.
        sender_domain: that of the sender or an author.
        below: that domain, or one below it.
        failed: any of these bits (``postern.journal.findings``) failed, or might have; 0: all.
    """

    since: float = 0.0
    owner: str = ""
    domain: str = ""
    address: str = ""
    sender_domain: str = ""
    below: str = ""
    network: Network | None = None
    helo: str = ""
    ptr: str = ""
    list_id: str = ""
    is_known: bool = False
    failed: int = 0
