"""What is kept of a transaction: all that the judge was shown, and of strangers' words no more."""

from dataclasses import replace

from tests.policy.making import address, book, facts, fail, rule, unknown

from postern.journal.decided import DecisionRow
from postern.journal.findings import findings_of, findings_text
from postern.journal.record import KNOWN, KNOWN_EARLY, POSTMASTER, HeardRecord
from postern.mail.address import Address
from postern.mail.finding import Finding, Result
from postern.policy.docket import MAX_TEXT_CHARS, Docket, facts_of, named_of, owner_of
from postern.policy.judge import judge
from postern.policy.rules.match import Facts
from postern.policy.rules.rule import Action

WANG = address("wang@harbour.example")
LISTED = fail("dnsbl.listed")


KEEP = rule("known", Action.HOLD)


def note(
    docket: Docket, seen: Facts, *found: Finding, named: Address = WANG, owner: Address = WANG
) -> None:
    judgement = judge(found, seen, book(KEEP))
    docket.note(named, owner, named.domain or owner.domain, seen, found, judgement)


def heard(docket: Docket, subject: str = "tea") -> HeardRecord:
    record = docket.heard(1, 1.0, "198.51.100.24", subject)
    assert record is not None
    return record


def row_of(record: HeardRecord, place: int = 0) -> DecisionRow:
    one = record.decisions[place]
    ip = b"\0" * 10 + b"\xff\xff\xc6\x33\x64\x18"
    return DecisionRow(
        record.id, record.at, len(record.decisions), one.flags, one.owner, one.domain, one.named,
        ip, record.helo, record.ptr, record.mail_from, record.authors, record.list_id,
        record.proven_early, record.proven, one.early, one.found, record.subject,
    )  # fmt: skip


def test_what_is_read_back_is_what_the_judge_was_shown() -> None:
    early = facts(proven="tea.example", known=True, ptr="mail.tea.example", at=5.0)
    late = replace(
        early,
        header_from=(address("li@tea.example"), address("ann@pier.example")),
        list_id="deals.offers.example",
        proven=frozenset({"tea.example", "a.example"}),
    )
    docket = Docket()
    note(docket, early, LISTED)
    note(docket, late, LISTED, unknown("spf.couldnt-tell", "spf.fail"))
    record = heard(docket)
    row = row_of(record)
    assert facts_of(row, 5.0, early=True) == early
    assert facts_of(row, 5.0, early=False) == late
    assert row.flags == KNOWN | KNOWN_EARLY
    assert (owner_of(row), named_of(row)) == (WANG, WANG)
    assert [one.check for one in findings_of(row.early)] == ["dnsbl.listed"]
    (_, told) = findings_of(row.found or "")
    assert (told.result, told.could_be) == (Result.COULDNT_TELL, ("spf.fail",))
    assert (record.decisions[0].gravity, record.decisions[0].rule) == (2, KEEP.label)


def test_the_null_sender_and_mail_without_authors_are_not_mixed_up() -> None:
    docket = Docket()
    note(docket, facts("", author=""))
    row = row_of(heard(docket))
    assert (row.mail_from, row.authors) == (None, "")
    assert facts_of(row, 0.0, early=False).header_from == ()
    assert facts_of(row, 0.0, early=False).mail_from is None


def test_what_passed_or_was_noted_is_not_kept() -> None:
    passed = Finding("ptr.missing", Result.PASS, "fine")
    noted = Finding("helo.unresolvable", Result.NOTE, "so so")
    assert findings_text((passed, LISTED, noted, unknown("ptr.couldnt-tell"))) == (
        "dnsbl.listed ?ptr.couldnt-tell="
    )


def test_all_places_of_a_refused_alias_are_kept_and_of_one_let_in_none() -> None:
    docket = Docket()
    sales, info = address("sales@harbour.example"), address("info@harbour.example")
    for owner in (WANG, address("li@harbour.example")):
        note(docket, facts(), LISTED, named=sales, owner=owner)
        note(docket, facts(), named=info, owner=owner)
    assert docket.heard(1, 1.0, "198.51.100.24", "") is None
    docket.turned_away(sales)
    assert [one.named for one in heard(docket).decisions] == ["sales@harbour.example"] * 2


def test_postmaster_is_still_postmaster_when_judged_again() -> None:
    docket = Docket()
    note(docket, facts(author="li@tea.example"), named=Address("postmaster", ""))
    row = row_of(heard(docket))
    assert row.flags & POSTMASTER
    assert named_of(row).local == "postmaster"
    assert (row.owner, row.domain) == ("wang@harbour.example", "harbour.example")


def test_strangers_words_are_bounded_and_can_be_stored() -> None:
    many = tuple(address(f"p{n}@tea.example") for n in range(500))
    docket = Docket()
    seen = replace(
        facts(author=""),
        header_from=many,
        helo="h" * 9_000,
        mail_from=Address("\udcff", "a.example"),
        proven=frozenset(f"d{n}.example" for n in range(500)),
    )  # fmt: skip
    note(docket, seen)
    record = heard(docket, "s" * 9_000 + "\udcff")
    assert record.mail_from == "?@a.example"
    for text in (record.helo, record.authors, record.proven, record.subject, record.mail_from):
        assert text is not None
        assert len(text.encode()) <= MAX_TEXT_CHARS
