"""Records and policies of MTA-STS."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.sts import (
    MAX_AGE_S,
    MAX_PATTERNS,
    BadPolicy,
    StsMode,
    StsPolicy,
    parse_policy,
    policy_id,
)

GOOD = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mx.tea.example\r\nmx: *.tea.example\r\nmax_age: 86400"
)


@pytest.mark.parametrize(
    "record",
    [
        "v=STSv1; id=20260101T1;",
        "v=STSv1;id=20260101T1",
        "v=STSv1 ; id=20260101T1 ; more=x-1/2; ",
        "v=STSv1; more=x; id=20260101T1",
    ],
)
def test_a_record_tells_the_id_of_its_policy(record: str) -> None:
    assert policy_id(["v=spf1 -all", record]) == "20260101T1"


@pytest.mark.parametrize(
    "records",
    [
        [],
        ["v=spf1 -all"],
        ["v=STSv1"],
        ["v=STSv1; more=x"],
        ["v=STSv1; id="],
        ["v=STSv1; id=a-b"],
        ["v=STSv1; id=" + "a" * 33],
        ["v=STSv1, id=1"],
        ["v=STSv2; id=1"],
        ["V=STSv1; id=1"],
        [" v=STSv1; id=1"],
        ["v=STSv1; id=1", "v=STSv1; id=1"],
        ["v=STSv1; id=1; gib berish"],
        ["v=STSv1;; id=1"],
        ["v=STSv1x; id=1"],
        ["v=STSv1; id=1;;"],
        ["v=STSv1; id=1; more=a=b"],
        ["v=STSv1; id=1" + " " * 1_024],
    ],
    ids=str,
)
def test_what_is_no_record_or_two_of_them_tells_of_no_policy(records: list[str]) -> None:
    assert policy_id(records) is None


@pytest.mark.parametrize(
    "record",
    [
        "v=STSv1; id=1" + " " * 60_000 + "\x01",
        "v=STSv1" + " ;" * 30_000,
        "v=STSv1" + "; a=b" * 12_000 + "\x01",
        "v=STSv1; id=" + "=" * 60_000,
        "v=STSv1; " + "a" * 60_000,
    ],
    ids=["blanks", "semicolons", "fields", "signs", "name"],
)
def test_no_record_holds_up_the_one_who_reads_it(record: str) -> None:
    began = time.process_time()
    assert policy_id([record]) is None
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "body",
    [
        b"mx: " + b"a." * 30_000 + b"!",
        b"mx: " + b"a-" * 30_000,
        b"mx: *." + b"a" * 60_000,
        b"a:\n" * 20_000,
        b" " * 60_000 + b":",
        b"a" * 60_000,
        b"mx:" + b" \t" * 30_000 + b"\x01",
    ],
    ids=["labels", "hyphens", "label", "lines", "blanks", "name", "value"],
)
def test_no_policy_holds_up_the_one_who_reads_it(body: bytes) -> None:
    began = time.process_time()
    assert isinstance(parse_policy(GOOD + b"\n" + body), BadPolicy | StsPolicy)
    assert time.process_time() - began < 0.25


def test_a_policy_is_read_whatever_its_line_ends() -> None:
    expected = StsPolicy(StsMode.ENFORCE, 86_400, ("mx.tea.example", "*.tea.example"))
    assert parse_policy(GOOD) == expected
    assert parse_policy(GOOD.replace(b"\r\n", b"\n") + b"\n\n") == expected
    assert parse_policy(GOOD.replace(b": ", b":")) == expected


def test_unknown_fields_are_passed_over_and_of_two_the_first_counts() -> None:
    policy = parse_policy(b"more: \xc3\xa4 : x\n" + GOOD + b"\r\nmode: none\r\nmax_age: 5")
    assert policy == StsPolicy(StsMode.ENFORCE, 86_400, ("mx.tea.example", "*.tea.example"))


def test_a_policy_of_mode_none_needs_no_mail_host() -> None:
    policy = parse_policy(b"version: STSv1\nmode: none\nmax_age: 10")
    assert policy == StsPolicy(StsMode.NONE, 10, ())


def test_no_policy_is_kept_for_longer_than_a_year() -> None:
    policy = parse_policy(GOOD.replace(b"86400", b"9999999999"))
    assert isinstance(policy, StsPolicy)
    assert policy.max_age_s == MAX_AGE_S


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "line 1"),
        (b"<html>", "line 1"),
        (GOOD.replace(b"STSv1", b"STSv2"), "version"),
        (GOOD.replace(b"enforce", b"Enforce"), "mode"),
        (GOOD.replace(b"mode: enforce\r\n", b""), "mode"),
        (GOOD.replace(b"86400", b"-1"), "max_age"),
        (GOOD.replace(b"86400", "٣".encode()), "max_age"),
        (GOOD.replace(b"86400", b"12345678901"), "max_age"),
        (b"version: STSv1\nmode: enforce\nmax_age: 10", "names no mail host"),
        (GOOD.replace(b"*.tea", b"mx.*.tea"), "no host name"),
        (GOOD.replace(b"*.tea.example", b"*"), "no host name"),
        (GOOD.replace(b"*.tea.example", "b\u00fccher.example".encode()), "no host name"),
        (GOOD + b"\r\n" + b"mx: a.b\r\n" * MAX_PATTERNS, "more than"),
        (GOOD + b"\xff", "UTF-8"),
        (GOOD + b"\n" + b"x" * 65_536, "longer"),
    ],
)
def test_a_mistake_makes_it_no_policy_and_is_named(body: bytes, why: str) -> None:
    policy = parse_policy(body)
    assert isinstance(policy, BadPolicy)
    assert why in policy.text


def test_a_wildcard_stands_for_one_label() -> None:
    policy = StsPolicy(StsMode.ENFORCE, 10, ("mx.tea.example", "*.coffee.example"))
    assert policy.names("mx.tea.example")
    assert policy.names("a.coffee.example")
    assert not policy.names("a.b.coffee.example")
    assert not policy.names("coffee.example")
    assert not policy.names("a.mx.tea.example")
    assert not policy.names("example")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_breaks_the_parser(body: bytes) -> None:
    parse_policy(body)
    parse_policy(GOOD + b"\r\n" + body)
