import pytest

from postern.mail.address import Address
from postern.mail.dmarc.record import (
    MAX_URIS,
    FailureOption,
    Mode,
    Policy,
    Psd,
    Record,
    ReportUri,
    parse_record,
)


def read(text: str) -> Record:
    record = parse_record(text)
    assert record is not None
    return record


def mailto(address: str, limit_bytes: int | None = None) -> ReportUri:
    local, _, domain = address.partition("@")
    return ReportUri(f"mailto:{address}", Address(local, domain), limit_bytes)


FEEDBACK = mailto("dmarc-feedback@example.com")


# The zone files of RFC 9989 Appendix B.2, their strings joined.
def test_b21_entire_domain_monitoring_mode() -> None:
    record = read("v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com")
    assert record.p is Policy.NONE
    assert record.rua == (FEEDBACK,)
    assert record.ruf == ()
    assert not record.is_test
    assert record.flaws == ()


def test_b22_per_message_failure_reports() -> None:
    record = read(
        "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; "
        "ruf=mailto:auth-reports@example.com"
    )
    assert record.rua == (FEEDBACK,)
    assert record.ruf == (mailto("auth-reports@example.com"),)
    assert record.fo == (FailureOption.ALL_FAIL,)


def test_b23_failure_reports_directed_to_third_party() -> None:
    record = read(
        "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; "
        "ruf=mailto:auth-reports@thirdparty.example.net"
    )
    assert record.ruf == (mailto("auth-reports@thirdparty.example.net"),)


def test_b23_and_b24_consents_are_records_without_a_policy() -> None:
    assert read("v=DMARC1;") == Record("v=DMARC1;")
    record = read(
        "v=DMARC1; rua=mailto:aggregate-reports@thirdparty.example.net; "
        "ruf=mailto:failure-reports@thirdparty.example.net"
    )
    assert record.rua == (mailto("aggregate-reports@thirdparty.example.net"),)
    assert record.ruf == (mailto("failure-reports@thirdparty.example.net"),)


def test_b25_testing_and_multiple_aggregate_report_uris() -> None:
    record = read(
        "v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,"
        "mailto:tld-test@thirdparty.example.net; t=y"
    )
    assert record.p is Policy.QUARANTINE
    assert record.rua == (FEEDBACK, mailto("tld-test@thirdparty.example.net"))
    assert record.is_test
    assert record.p.one_level_lower is Policy.NONE
    record = read(
        "v=DMARC1; p=reject; rua=mailto:dmarc-feedback@example.com,"
        "mailto:tld-test@thirdparty.example.net"
    )
    assert (record.p, record.is_test) == (Policy.REJECT, False)
    assert record.p.one_level_lower is Policy.QUARANTINE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p=reject; v=DMARC1",
        "v=DMARC2; p=reject",
        "v=dmarc1; p=reject",  # RFC 9989 §4.7: the value is case-sensitive
        "v=DMARC1p=reject",
        "v=DMARC1 p=reject",
        "v=DMARC11",
        "; v=DMARC1; p=reject",
        "v=spf1 -all",
        "vv=DMARC1",
        "v DMARC1",
        '"v=DMARC1; p=reject"',
    ],
)
def test_what_does_not_begin_with_the_version_is_no_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "v=DMARC1",
        "v=DMARC1;",
        "v = DMARC1 ; p = reject ;",
        "V=DMARC1;P=REJECT",  # RFC 5234 §2.3: quoted strings of ABNF have no case
        "  v=DMARC1;p=reject",  # RFC 6376 §3.2: a tag-spec may begin with blanks
        "v\t=\tDMARC1\t;\tp\t=\treject\t",
    ],
)
def test_blanks_and_case_do_not_matter_around_the_version(text: str) -> None:
    assert read(text).p is (Policy.REJECT if "eject" in text.lower() else Policy.NONE)


def test_tags_stand_in_any_order() -> None:
    one = read("v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=s; psd=n; t=y")
    other = read("v=DMARC1; t=y; psd=n; aspf=s; np=quarantine; adkim=s; sp=none; p=reject")
    assert one.p is other.p is Policy.REJECT
    assert one.sp is other.sp is Policy.NONE
    assert one.np is other.np is Policy.QUARANTINE
    assert one.adkim is other.adkim is one.aspf is other.aspf is Mode.STRICT
    assert one.psd is other.psd is Psd.NO
    assert one.is_test
    assert other.is_test


def test_unknown_and_historic_tags_are_ignored() -> None:
    record = read("v=DMARC1; pct=0; rf=iodef; ri=3600; x=y; x1=2; p=reject; nonsense; =; ;;")
    assert record.p is Policy.REJECT
    assert record.flaws == ()


@pytest.mark.parametrize(
    ("tags", "flaw"),
    [
        ("adkim=x", "adkim"),
        ("aspf=strict", "aspf"),
        ("psd=maybe", "psd"),
        ("t=1", "t"),
        ("fo=2; ruf=mailto:a@b.example", "fo"),
        ("fo=0:1; ruf=mailto:a@b.example", "fo"),  # RFC 9989 §4.7: mutually exclusive
        ("fo=d:d; ruf=mailto:a@b.example", "fo"),  # RFC 9989 §4.8: at most once
        ("fo=; ruf=mailto:a@b.example", "fo"),
        ("rua=nobody", "rua"),
    ],
)
def test_a_mistake_costs_only_its_tag(tags: str, flaw: str) -> None:
    record = read(f"v=DMARC1; p=reject; {tags}")
    assert record.p is Policy.REJECT
    assert record.is_usable
    assert record.flaws == (flaw,)
    assert (record.adkim, record.aspf, record.psd) == (Mode.RELAXED, Mode.RELAXED, Psd.UNSAID)
    assert not record.is_test
    assert record.fo == (FailureOption.ALL_FAIL,)


# RFC 9989 §4.10.1: with an invalid p, sp or np and somebody to tell it is p=none altogether.
@pytest.mark.parametrize("tags", ["p=rejct", "p=", "p=reject; sp=no", "p=reject; np=no"])
def test_a_misspelt_policy_is_none_if_there_is_somebody_to_tell(tags: str) -> None:
    record = read(f"v=DMARC1; {tags}; rua=mailto:dmarc-feedback@example.com; adkim=s")
    assert (record.p, record.sp, record.np) == (Policy.NONE, None, None)
    assert record.is_usable
    assert record.adkim is Mode.STRICT
    assert not read(f"v=DMARC1; {tags}").is_usable
    assert not read(f"v=DMARC1; {tags}; rua=nobody").is_usable


# RFC 9989 §4.7: "If this tag is not present in an otherwise syntactically valid DMARC Policy
# Record, then the record is treated as if it included p=none". §4.10.1 speaks of records without
# a valid p; a record treated as if it had one is not meant.
def test_a_policy_that_is_not_given_is_none() -> None:
    for text in ("v=DMARC1", "v=DMARC1; psd=n", "v=DMARC1; sp=reject"):
        record = read(text)
        assert record.p is Policy.NONE
        assert record.is_usable
    assert read("v=DMARC1; sp=reject").sp is Policy.REJECT


# RFC 6376 §3.2: "Tags with duplicate names MUST NOT occur"; RFC 9989 §4.8 has syntax errors cost
# only themselves. Guessing which of two policies was meant could reject a domain's mail.
def test_a_tag_that_says_two_things_says_nothing() -> None:
    assert not read("v=DMARC1; p=reject; p=none").is_usable
    assert read("v=DMARC1; p=reject; p=reject").p is Policy.REJECT
    record = read("v=DMARC1; p=reject; adkim=s; adkim=r; adkim=s")
    assert (record.adkim, record.flaws) == (Mode.RELAXED, ("adkim",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mailto:a@b.example!10m", [mailto("a@b.example", 10 << 20)]),
        ("mailto:a@b.example!5", [mailto("a@b.example", 5)]),
        ("mailto:a@b.example!2K", [mailto("a@b.example", 2048)]),
        ("mailto:a@b.example!" + "9" * 40 + "t", [mailto("a@b.example")]),
        ("mailto:a@b.example!", []),
        ("mailto:a@b.example!m", []),
        ("mailto:a@b.example!10m!10m", []),
        ("MAILTO:a@b.example", [ReportUri("MAILTO:a@b.example", Address("a", "b.example"))]),
        ("mailto:a%21b@b.example?subject=x", [
            ReportUri("mailto:a%21b@b.example?subject=x", Address("a!b", "b.example"))
        ]),
        ("https://reports.example/in", [ReportUri("https://reports.example/in")]),
        ("mailto:a@b.example , mailto:c@d.example", [mailto("a@b.example"), mailto("c@d.example")]),
        ("mailto:nobody, mailto:c@d.example", [mailto("c@d.example")]),
        ("mailto:a@b.example%2Cc@d.example", []),
        ("mailto:a%0d%0ab@b.example", []),
        ("a@b.example", []),
        ("mailto:", []),
        ("", []),
    ],
)  # fmt: skip
def test_reporting_uris(value: str, expected: list[ReportUri]) -> None:
    record = read(f"v=DMARC1; p=none; rua={value}; ruf={value}")
    assert list(record.rua) == expected
    assert record.ruf == record.rua


def test_the_number_of_reporting_uris_is_bounded() -> None:
    many = ",".join(f"mailto:a{i}@b.example" for i in range(MAX_URIS + 5))
    assert len(read(f"v=DMARC1; rua={many}").rua) == MAX_URIS


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("0", "0"),
        ("1", "1"),
        ("d", "d"),
        ("1:d:s", "1ds"),
        ("d : s : 0", "ds0"),
        ("D:S", "ds"),
    ],
)
def test_failure_options(value: str, options: str) -> None:
    record = read(f"v=DMARC1; p=none; ruf=mailto:a@b.example; fo={value}")
    assert "".join(option.value for option in record.fo) == options
    assert record.flaws == ()


def test_failure_options_without_an_address_are_ignored() -> None:
    assert read("v=DMARC1; p=none; fo=1").fo == (FailureOption.ALL_FAIL,)


def test_octets_outside_of_ascii_spoil_only_their_tag() -> None:
    record = read("v=DMARC1; p=reject; x=\xfc; rua=mailto:\xfc@b.example; adkim=s")
    assert (record.p, record.adkim, record.rua) == (Policy.REJECT, Mode.STRICT, ())
