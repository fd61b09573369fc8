import pytest
from tests.mail.dmarc.zone import Zone

from postern.mail.dmarc.alignment import MAX_WALKS, Alignment, Identifier, Method, Proof, align
from postern.mail.dmarc.record import parse_record
from postern.mail.dmarc.tree import Tree

P = "v=DMARC1; p=reject"
YES, NO, UNKNOWN, NOT_ASKED = (
    Alignment.YES,
    Alignment.NO,
    Alignment.COULDNT_TELL,
    Alignment.NOT_ASKED,
)


def dkim(domain: str, proof: Proof = Proof.PASS) -> Identifier:
    return Identifier(Method.DKIM, domain, proof)


def spf(domain: str, proof: Proof = Proof.PASS) -> Identifier:
    return Identifier(Method.SPF, domain, proof)


def aligned(
    zone: Zone, author: str, *identifiers: Identifier, text: str = P, thorough: bool = False
) -> list[Alignment]:
    record = parse_record(text)
    assert record is not None
    return list(zone.run(align(author, record, identifiers, Tree(), thorough=thorough)))


# RFC 9989 §4.4, Table 1.
@pytest.mark.parametrize(
    ("identifier", "relaxed", "strict"),
    [
        ("foo.example.com", YES, NO),
        ("news.example.com", YES, YES),
        ("foo.example.net", NO, NO),
    ],
)
def test_table_1(identifier: str, relaxed: Alignment, strict: Alignment) -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "news.example.com", dkim(identifier)) == [relaxed]
    assert aligned(zone, "news.example.com", dkim(identifier), text=P + "; adkim=s") == [strict]
    assert aligned(zone, "news.example.com", spf(identifier), text=P + "; aspf=s") == [strict]
    assert aligned(zone, "news.example.com", spf(identifier), text=P + "; adkim=s") == [relaxed]


def test_identical_domains_need_no_walk() -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "example.com", spf("EXAMPLE.com."), dkim("example.com")) == [YES, YES]
    assert zone.rounds == []


def test_one_aligned_pass_is_enough_unless_all_are_wanted() -> None:
    zone = Zone(example_com=P)
    identifiers = (dkim("example.com"), spf("bounce.example.com"))
    assert aligned(zone, "example.com", *identifiers) == [YES, NOT_ASKED]
    assert zone.rounds == []
    assert aligned(zone, "example.com", *identifiers, thorough=True) == [YES, YES]
    assert zone.asked == ["_dmarc.example.com", "_dmarc.com", "_dmarc.bounce.example.com"]


def test_what_did_not_pass_is_not_asked_for() -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "example.com", spf("b.example.com", Proof.FAIL)) == [NOT_ASKED]
    assert zone.rounds == []


def test_a_strangers_records_are_never_asked_for() -> None:
    zone = Zone(example_com=P)
    zone.fail("_dmarc.evil.example.net", "TXT")
    zone.fail("_dmarc.evil.com", "TXT")
    strangers = (dkim("evil.example.net"), spf("evil.com"))
    assert aligned(zone, "news.example.com", *strangers) == [NO, NO]
    assert not any("evil" in name for name in zone.asked)


def test_a_stranger_under_another_top_needs_no_question_at_all() -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "news.example.com", dkim("example.net")) == [NO]
    assert zone.rounds == []


# RFC 9989 §11.8: a public suffix that publishes a record without psd=y makes one organisation of
# all its customers; psd=n in one's own record prevents it.
def test_a_public_suffix_with_an_ordinary_record_is_an_organisation() -> None:
    zone = Zone(com=P)
    assert aligned(zone, "good.com", dkim("evil.com")) == [YES]
    zone = Zone(com=P, good_com=P + "; psd=n")
    assert aligned(zone, "good.com", dkim("evil.com")) == [NO]


def test_a_department_of_its_own_is_not_aligned_with_the_company() -> None:
    zone = Zone(example_com=P, dept_example_com=P + "; psd=n")
    assert aligned(zone, "example.com", dkim("dept.example.com")) == [NO]
    assert aligned(zone, "dept.example.com", dkim("example.com")) == [NO]
    assert aligned(zone, "dept.example.com", dkim("a.dept.example.com")) == [YES]


def test_the_organisation_itself_needs_no_walk_of_its_own() -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "a.b.example.com", dkim("example.com")) == [YES]
    assert len(zone.rounds) == 1


@pytest.mark.parametrize("name", ["_dmarc.com", "_dmarc.x.example.com"])
def test_what_is_missing_above_both_walks_or_beside_does_not_matter(name: str) -> None:
    zone = Zone(example_com=P)
    zone.time_out(name, "TXT")
    assert aligned(zone, "a.example.com", dkim("example.com")) == [YES]
    assert aligned(zone, "example.com", dkim("b.example.com")) == [YES]


def test_what_is_missing_on_one_way_is_a_doubt() -> None:
    zone = Zone(example_com=P)
    zone.time_out("_dmarc.b.example.com", "TXT")
    assert aligned(zone, "example.com", dkim("a.b.example.com")) == [UNKNOWN]
    assert aligned(zone, "a.b.example.com", dkim("example.com")) == [UNKNOWN]
    assert aligned(zone, "a.b.example.com", dkim("example.net")) == [NO]


def test_a_missing_top_makes_neighbours_doubtful() -> None:
    zone = Zone(good_com=P)
    zone.fail("_dmarc.com", "TXT")
    assert aligned(zone, "good.com", dkim("other.com")) == [UNKNOWN]


def test_a_sure_foreign_organisation_is_foreign_whatever_ours_is() -> None:
    zone = Zone(good_com=P, other_com=P + "; psd=n")
    zone.fail("_dmarc.com", "TXT")
    assert aligned(zone, "good.com", dkim("a.other.com")) == [NO]


def test_names_that_are_none_are_not_aligned() -> None:
    zone = Zone(example_com=P)
    assert aligned(zone, "example.com", spf(""), spf("[192.0.2.1]"), dkim("a b")) == [NO, NO, NO]


def test_u_labels_are_compared_as_a_labels() -> None:
    zone = Zone()
    assert aligned(zone, "xn--bcher-kva.example", dkim("Bücher.example")) == [YES]


def test_walks_are_counted_and_those_that_passed_go_first() -> None:
    zone = Zone(example_com=P)
    lost = [dkim(f"l{i}.example.com", Proof.COULDNT_TELL) for i in range(MAX_WALKS)]
    last = dkim("last.example.com")
    result = aligned(zone, "example.com", *lost, last)
    assert result == [YES] * (MAX_WALKS - 1) + [UNKNOWN, YES]
    assert len(zone.asked) == 2 + MAX_WALKS
