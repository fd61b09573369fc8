import pytest
from tests.mail.dmarc.zone import Zone

from postern.mail.dmarc.external import Destination, Permission, Report, find_destination
from postern.mail.dmarc.record import ReportUri, parse_record
from postern.mail.dmarc.tree import Tree
from postern.mail.dns import Status

P = "v=DMARC1; p=none"
THERE = "thirdparty.example.net"
CONSENT = f"example.com._report._dmarc.{THERE}"


def uri(text: str) -> ReportUri:
    record = parse_record(f"v=DMARC1; rua={text}")
    assert record is not None
    return record.rua[0]


REPORTS = uri(f"mailto:auth-reports@{THERE}")
OWN, GRANTED, REFUSED, COULDNT_TELL = Permission


def find(zone: Zone, to: ReportUri = REPORTS, report: Report = Report.FAILURE) -> Destination:
    return zone.run(find_destination("example.com", to, report))


# RFC 9989 Appendix B.2.3.
def test_b23_a_third_party_consents() -> None:
    zone = Zone(example_com=P)
    zone.add(CONSENT, "TXT", "v=DMARC1;")
    assert find(zone) == Destination(GRANTED, (REPORTS,))
    assert zone.asked[-1] == "example.com._report._dmarc.thirdparty.example.net"


# RFC 9989 Appendix B.2.4: "only the ruf tag is actually overridden".
def test_b24_a_third_party_overrides_the_address() -> None:
    zone = Zone(example_com=P)
    zone.add(
        CONSENT,
        "TXT",
        f"v=DMARC1; rua=mailto:aggregate-reports@{THERE}; ruf=mailto:failure-reports@{THERE}",
    )
    assert find(zone).uris == (uri(f"mailto:failure-reports@{THERE}"),)
    assert find(zone, report=Report.AGGREGATE).uris == (uri(f"mailto:aggregate-reports@{THERE}"),)


# The example of RFC 9990 §4.
def test_the_example_of_blue_and_red() -> None:
    zone = Zone(example_com=P)
    zone.add("blue.example.com._report._dmarc.red.example.net", "TXT", "v=DMARC1")
    to = uri("mailto:reports@red.example.net")
    assert zone.run(find_destination("blue.example.com", to)).permission is GRANTED


def test_an_address_in_the_organisation_needs_no_consent() -> None:
    zone = Zone(example_com=P)
    assert find(zone, uri("mailto:a@example.com")).permission is OWN
    assert zone.rounds == []
    assert find(zone, uri("mailto:a@reports.example.com")).permission is OWN
    assert not any("_report" in name for name in zone.asked)
    assert find(zone, uri("mailto:a@REPORTS.example.com")).permission is OWN


def test_a_department_of_its_own_is_asked() -> None:
    zone = Zone(example_com=P, dept_example_com=P + "; psd=n")
    assert find(zone, uri("mailto:a@dept.example.com")).permission is REFUSED


@pytest.mark.parametrize("texts", [(), ("v=spf1 -all",), ("hello; v=DMARC1",)])
def test_without_a_record_of_consent_there_is_none(texts: tuple[str, ...]) -> None:
    zone = Zone(example_com=P)
    if texts:
        zone.add(CONSENT, "TXT", *texts)
    assert find(zone) == Destination(REFUSED)


def test_one_valid_record_of_several_is_consent() -> None:
    zone = Zone(example_com=P)
    zone.add(CONSENT, "TXT", "x", "v=DMARC1", f"v=DMARC1; ruf=mailto:b@{THERE}")
    assert find(zone) == Destination(GRANTED, (uri(f"mailto:b@{THERE}"),))


# RFC 9990 §4: "MUST NOT generate a report to either the original or the override URI".
def test_an_override_that_points_on_gets_no_report_at_all() -> None:
    zone = Zone(example_com=P)
    zone.add(CONSENT, "TXT", f"v=DMARC1; ruf=mailto:b@{THERE},mailto:c@victim.example")
    assert find(zone) == Destination(REFUSED)


def test_an_override_with_a_scheme_we_do_not_speak_is_ignored() -> None:
    zone = Zone(example_com=P)
    zone.add(CONSENT, "TXT", "v=DMARC1; ruf=https://elsewhere.example/")
    assert find(zone) == Destination(GRANTED, (REPORTS,))


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
def test_no_answer_is_neither_consent_nor_refusal(status: Status) -> None:
    zone = Zone(example_com=P)
    zone.add(CONSENT, "TXT", status=status)
    assert find(zone).permission is COULDNT_TELL
    zone = Zone(example_com=P)
    zone.add("_dmarc.reports.example.com", "TXT", status=status)
    assert find(zone, uri("mailto:a@reports.example.com")).permission is COULDNT_TELL


def test_consent_counts_even_if_it_was_perhaps_not_needed() -> None:
    zone = Zone(example_com=P)
    zone.fail("_dmarc.net", "TXT")
    zone.add(CONSENT, "TXT", "v=DMARC1")
    assert find(zone).permission is GRANTED


def test_other_schemes_and_literals_are_refused_without_asking() -> None:
    zone = Zone(example_com=P)
    for text in ("https://reports.example/", "mailto:a@[192.0.2.1]"):
        assert find(zone, uri(text)) == Destination(REFUSED)
    assert zone.rounds == []


def test_a_name_beyond_the_limits_of_dns_cannot_consent() -> None:
    zone = Zone()
    long = ".".join(["a" * 60] * 4)
    found = zone.run(find_destination(long, REPORTS))
    assert found.permission is REFUSED
    assert not any("_report" in name for name in zone.asked)


def test_a_tree_that_is_known_already_is_not_asked_again() -> None:
    zone = Zone(example_com=P)
    tree = Tree()
    zone.run(tree.walk("example.com"))
    zone.rounds.clear()
    zone.run(find_destination("example.com", REPORTS, tree=tree))
    assert "_dmarc.example.com" not in zone.asked
