"""What a transaction's verdicts were made of, kept so that other rules can judge it again.

Reception tells each verdict as the judge gave it; the journal keeps it in the form of
``HeardRecord``. ``facts_of`` and ``findings_of`` give back what the judge was shown: whoever
replays a decision asks the same judge the same question.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address

from postern.journal.decided import DecisionRow
from postern.journal.findings import findings_text
from postern.journal.record import (
    APART,
    KNOWN,
    KNOWN_EARLY,
    OUTSIDE,
    POSTMASTER,
    WRITTEN,
    DecisionRecord,
    HeardRecord,
)
from postern.mail.address import Address
from postern.mail.finding import Finding
from postern.policy.judge import Judgement
from postern.policy.recipient import is_postmaster
from postern.policy.rules.match import IP, Facts

MAX_DECISIONS = 8_000
"""Of one transaction; more places than that no message goes to."""
MAX_NAME_CHARS = 320
MAX_TEXT_CHARS = 1_000
"""Of what a stranger says, so much is kept for each recipient: hundreds of authors or signatures
are no honest message's, and would otherwise be written a thousand times."""
MAX_SUBJECT_CHARS = 100


class Docket:
    """The verdicts of one transaction, in the order of RCPT.

    ``is_apart``: each recipient has an answer of its own after the message.
    """

    __slots__ = ("_cases", "_facts", "_findings", "_flags", "_proven_early", "_text")

    def __init__(self, *, is_apart: bool = False) -> None:
        self._flags = APART if is_apart else 0
        self._cases: dict[tuple[str, str], _Case] = {}
        self._facts: Facts | None = None
        self._findings: tuple[Sequence[Finding], str] = ((), "")
        self._proven_early: frozenset[str] = frozenset()
        self._text = ""

    def note(
        self,
        named: Address,
        owner: Address,
        domain: str,
        facts: Facts,
        findings: Sequence[Finding],
        judgement: Judgement,
        *,
        is_outside: bool = False,
    ) -> None:
        """A verdict for one place that the recipient called ``named`` leads to."""
        key = (named.key, owner.key)
        case = self._cases.get(key)
        if case is None:
            if len(self._cases) >= MAX_DECISIONS:
                return
            self._cases[key] = case = _Case(_record(named, owner, domain, self._flags))
        record, text = case.record, self._text_of(findings)
        self._facts = facts
        record.flags |= OUTSIDE if is_outside else 0
        record.gravity = int(judgement.gravity)
        record.rule = "" if judgement.rule is None else judgement.rule.label
        is_known = judgement.is_known or facts.is_known
        if facts.has_header:
            record.found = text
            record.flags |= KNOWN if is_known else 0
        else:
            self._proven_early = facts.proven
            record.early = text
            record.flags |= KNOWN_EARLY if is_known else 0
            record.flags |= WRITTEN if judgement.awaits_proof else 0

    def turned_away(self, named: Address) -> None:
        """The recipient was refused at RCPT, whichever of its places wanted it so."""
        for (name, _), case in self._cases.items():
            if name == named.key:
                case.is_out = True

    def heard(self, number: int, at: float, client_ip: str, subject: str) -> HeardRecord | None:
        """All of it, once the transaction is over; None where nothing was decided."""
        facts = self._facts
        if facts is None:
            return None
        records = list(self._decided(facts))
        if not records:
            return None
        authors = None
        if facts.header_from is not None:
            authors = _text("".join(f"{one.key}\n" for one in facts.header_from), MAX_TEXT_CHARS)
        return HeardRecord(
            number,
            at,
            client_ip,
            records,
            _text(facts.helo, MAX_NAME_CHARS),
            _text(facts.ptr, MAX_NAME_CHARS),
            None if facts.mail_from is None else _text(facts.mail_from.key, MAX_NAME_CHARS),
            _domains(self._proven_early),
            authors,
            _text(facts.list_id or "", MAX_NAME_CHARS),
            _domains(facts.proven) if facts.has_header else "",
            _text(subject, MAX_SUBJECT_CHARS),
        )

    def _decided(self, facts: Facts) -> Iterable[DecisionRecord]:
        """Those refused at RCPT and those the whole message was judged for.

        Who was let in at RCPT, and got no message then, was not decided about. What a message that
        came showed is kept for those as well who were refused before it: let in, they had it.
        """
        text = self._text_of(self._findings[0])
        for case in self._cases.values():
            record = case.record
            if case.is_out and facts.has_header and record.found is None:
                record.found = text
                record.flags |= KNOWN if record.flags & KNOWN_EARLY else 0
            if case.is_out or record.found is not None:
                yield record

    def _text_of(self, findings: Sequence[Finding]) -> str:
        """The findings as text; nearly always they are those of the recipient before."""
        known, text = self._findings
        if findings is not known:
            text = findings_text(findings)
            self._findings = (findings, text)
        return text


class _Case:
    """One place's decision; ``is_out``: it was made at RCPT."""

    __slots__ = ("is_out", "record")

    def __init__(self, record: DecisionRecord) -> None:
        self.record = record
        self.is_out = False


def _record(named: Address, owner: Address, domain: str, flags: int) -> DecisionRecord:
    key = owner.key
    said = "" if named.key == key else _text(str(named), MAX_NAME_CHARS)
    flags |= POSTMASTER if is_postmaster(named) else 0
    return DecisionRecord(_text(key, MAX_NAME_CHARS), domain, said, flags=flags)


def _domains(proven: frozenset[str]) -> str:
    return _text(" ".join(sorted(proven)), MAX_TEXT_CHARS)


def _text(text: str, most: int) -> str:
    """A text that can be stored: octets that nobody could decode become ``?``."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text[:most]


# --- and back -------------------------------------------------------------------------------------


def facts_of(row: DecisionRow, now: float, *, early: bool) -> Facts:
    """What was known of the message, at RCPT or once it had come, for rules that hold ``now``."""
    if early:
        return Facts(
            now,
            _ip(row.ip),
            row.helo,
            row.ptr,
            _address(row.mail_from),
            proven=frozenset(row.proven_early.split()),
            is_known=bool(row.flags & KNOWN_EARLY),
        )
    authors = row.authors or ""
    return Facts(
        now,
        _ip(row.ip),
        row.helo,
        row.ptr,
        _address(row.mail_from),
        tuple(_read(line) for line in authors.split("\n") if line),
        row.list_id,
        frozenset(row.proven.split()),
        bool(row.flags & KNOWN),
    )


def named_of(row: DecisionRow) -> Address:
    """Whom RCPT called, as far as it matters to the judge."""
    return Address("postmaster", row.domain) if row.flags & POSTMASTER else _read(row.owner)


def owner_of(row: DecisionRow) -> Address:
    """Whose rules count."""
    return _read(row.owner)


def _read(key: str) -> Address:
    local, at, domain = key.rpartition("@")
    return Address(local, domain) if at else Address(key, "")


def _address(key: str | None) -> Address | None:
    return None if key is None else _read(key)


def _ip(packed: bytes | None) -> IP | None:
    if packed is None:
        return None
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
