"""Invariant: whatever the client says, the records hold and DNS answers, an SPF check raises
nothing, asks no more than RFC 7208 §4.6.4 allows, calls a temperror only what has no answer and
names that question, and leaves only short, safe texts behind."""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.dns import Answer, Question, Status
from postern.mail.message.header import HeaderScan
from postern.mail.spf.evaluate import MAX_LOOKUPS, MAX_MX, MAX_PTR, check_host
from postern.mail.spf.header import received_spf
from postern.mail.spf.identity import Claim, Identity
from postern.mail.spf.macro import MAX_EXPLANATION_CHARS
from postern.mail.spf.record import MAX_RECORD_CHARS, Record, parse_record
from postern.mail.spf.result import SpfCode, SpfResult

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
MOST_QUESTIONS = 1 + MAX_LOOKUPS * (1 + MAX_MX) + 1 + MAX_PTR + 1
"""The record; ten terms with a list each; the client's names; the explanation."""

TOKENS = st.sampled_from(
    [
        *(
            " ",
            " ",
            " ",
            "  ",
            ":",
            "/",
            "//",
            ".",
            "=",
            "%",
            "%{",
            "}",
            "\t",
            "\x00",
            "\xe9",
            "\r\n",
        ),
        *("+", "-", "~", "?", "all", "a", "mx", "ptr", "include:", "exists:", "ip4:", "ip6:"),
        *("redirect=", "exp=", "x=", "tea.example", "_spf.tea.example", "192.0.2.1", "2001:db8::"),
        *("%{d}", "%{i}", "%{p}", "%{s}", "%{l1r+-}", "%{H}", "%{h}", "%{d0}", "%{c}", "%%", "%_"),
        *("/24", "//64", "/0", "99999999999999999999", "x" * 64, "y." * 130, "%{S}" * 90),
    ]
)
TERMS = st.sampled_from(
    [
        *(
            "a",
            "mx",
            "ptr",
            "-a",
            "?mx",
            "include:tea.example",
            "include:%{d}",
            "include:%{p}.x.test",
        ),
        *(
            "redirect=%{d}",
            "redirect=tea.example",
            "exp=why.%{d}",
            "exp=%{p}.test",
            "exists:%{p}.test",
        ),
        *(
            "exists:%{l}.%{h}.%{o}.test",
            "mx:%{ir}.%{v}.test",
            "a:%{S}.%{S}.%{S}.test",
            "a:a..b.test",
        ),
        *("-all", "~all", "ip4:192.0.2.0/24", "ip6:2001:db8::/32", "ptr:%{h}", "mx:%{d1}.test//0"),
    ]
)
WELL_FORMED = st.lists(TERMS, min_size=1, max_size=14, unique=True).map(
    lambda terms: " ".join(["v=spf1", *terms])
)
TEXTS = st.one_of(
    WELL_FORMED,
    st.lists(TOKENS, max_size=30).map(lambda tokens: "v=spf1 " + "".join(tokens)),
    st.lists(TOKENS, max_size=30).map("".join),
    st.binary(max_size=60).map(lambda octets: octets.decode("latin-1")),
)
WORDS = st.sampled_from(
    ["192.0.2.1", "203.0.113.7", "2001:db8::1", "::ffff:192.0.2.1", "mx.tea.example", "10 mx.test",
     "0 .", "", ".", "5", "10 a..b", "tea.example", "MX.Tea.Example.", "x" * 300, "10 \xe9.test"]
)  # fmt: skip
LISTS = st.one_of(
    st.lists(WORDS, max_size=13),
    st.sampled_from([["192.0.2.1"], ["203.0.113.7", "192.0.2.9"], ["2001:db8::1"], []]),
    st.integers(1, 13).map(lambda size: [f"{n} h{n}.test" for n in range(size)]),
    st.integers(1, 13).map(lambda size: [f"h{n}.tea.example" for n in range(size)]),
)
Reply = tuple[Status, list[str]]


def replies(usual: st.SearchStrategy[list[str]]) -> st.SearchStrategy[Reply]:
    """Mostly what fits the question, so that checks get far; else anything or nothing."""
    good: st.SearchStrategy[Reply] = st.tuples(st.just(Status.OK), usual)
    odd = st.tuples(st.sampled_from(list(Status)), st.one_of(LISTS, st.lists(TEXTS, max_size=2)))
    return st.integers(0, 9).flatmap(lambda die: odd if die == 9 else good)


NAMES = st.one_of(
    st.sampled_from(
        ["tea.example", "bücher.example", "a.b.tea.example", "localhost", "[192.0.2.1]", "", "."]
    ),
    st.text(max_size=40),
)
SENDERS = st.one_of(
    st.just(""), st.text(max_size=80), st.tuples(st.text(max_size=20), NAMES).map("@".join)
)
IPS = st.one_of(
    st.sampled_from(["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"]),
    st.ip_addresses().map(str),
    st.integers(0, 9).flatmap(
        lambda die: st.text(max_size=9) if die == 9 else st.just("192.0.2.1")
    ),
)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def is_safe(text: str, longest: int) -> bool:
    return len(text) <= longest and not any(
        char < " " or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029" for char in text
    )


class Dns:
    """Answers each question with the next reply, the same question always alike."""

    def __init__(self, texts: list[Reply], lists: list[Reply]) -> None:
        self.texts = texts
        self.lists = lists
        self.known: dict[Question, Answer] = {}
        self.asked = 0

    def answer(self, question: Question) -> Answer:
        assert question.name == question.name.lower()
        assert 0 < len(question.name) <= 253
        assert all(0 < len(label) <= 63 for label in question.name.split("."))
        assert question.name.isascii()
        assert question.name.isprintable()
        if question not in self.known:
            fitting = self.texts if question.type == "TXT" else self.lists
            status, records = fitting[len(self.known) % len(fitting)]
            found = tuple(records) if status is Status.OK else ()
            self.known[question] = Answer(question, status, found)
        self.asked += 1
        return self.known[question]


def judge(ip: str, domain: str, sender: str, helo: str, dns: Dns) -> SpfResult:
    inquiry = check_host(ip, domain, sender, helo, receiver="mx.postern.test", now=1.5)
    try:
        questions = next(inquiry)
        while True:
            assert 0 < len(questions) <= max(MAX_MX, MAX_PTR)
            assert len(set(questions)) == len(questions)
            questions = inquiry.send(tuple(dns.answer(question) for question in questions))
    except StopIteration as done:
        result: SpfResult = done.value
        return result


def assert_sound(result: SpfResult, dns: Dns) -> None:
    assert dns.asked <= MOST_QUESTIONS
    assert result.lookups <= MAX_LOOKUPS
    assert result.void_lookups <= 3
    assert len(result.via) <= MAX_LOOKUPS
    for text, longest in (
        (result.domain, 255),
        (result.decided_by, 255),
        (result.term, 200),
        (result.problem, 400),
        (result.explanation, MAX_EXPLANATION_CHARS),
        *((step.domain, 255) for step in result.via),
        *((step.term, 200) for step in result.via),
    ):
        assert is_safe(text, longest)
    assert result.explanation.isascii()
    assert not result.explanation or result.code is SpfCode.FAIL
    for question in result.unanswered:
        assert not dns.known[question].status.is_known
    assert result.unanswered or result.code is not SpfCode.TEMPERROR
    is_error = result.code in {SpfCode.NONE, SpfCode.TEMPERROR, SpfCode.PERMERROR}
    assert bool(result.problem) is is_error
    assert result.term or result.code in {SpfCode.NEUTRAL, SpfCode.NONE} or is_error


def test_checks_are_bounded_and_sound(fuzz_seconds: float) -> None:
    @BATCH
    @given(
        *(IPS, NAMES, SENDERS, NAMES),
        st.lists(replies(WELL_FORMED.map(lambda text: [text])), min_size=1, max_size=9),
        st.lists(replies(LISTS), min_size=1, max_size=12),
    )
    def check(
        ip: str, domain: str, sender: str, helo: str, texts: list[Reply], lists: list[Reply]
    ) -> None:
        for name in (domain, "tea.example"):
            dns = Dns(texts, lists)
            result = judge(ip, name, sender, helo, dns)
            assert_sound(result, dns)
            claim = Claim(Identity.MAIL_FROM, name, sender)
            field = received_spf(result, claim, ip=ip, helo=helo, receiver="mx.postern.test")
            (only,) = HeaderScan(field + b"\r\n").fields()
            assert (only.name, only.end) == (b"received-spf", len(field))
            assert max(map(len, field.split(b"\r\n"))) < 998

    run_for(fuzz_seconds * 0.7, check)


def test_the_bound_on_questions_is_one_that_records_reach() -> None:
    lists = [f"{number} h{number}.test" for number in range(10)]
    names = [f"h{number}.tea.test" for number in range(10)]
    mxs = " ".join(f"mx:m{number}.test" for number in range(9))
    found = {"MX": lists, "PTR": names, "A": ["203.0.113.1"]}
    found["TXT"] = [f"v=spf1 {mxs} ptr -all exp=why.test"]

    class Full(Dns):
        def answer(self, question: Question) -> Answer:
            self.asked += 1
            return Answer(question, Status.OK, tuple(found[question.type]))

    dns = Full([], [])
    result = judge("192.0.2.1", "tea.example", "a@tea.example", "h", dns)
    assert (result.code, dns.asked) == (SpfCode.FAIL, 1 + 9 * 11 + 11 + 1)
    assert dns.asked <= MOST_QUESTIONS


def test_records_are_read_without_raising_and_in_time(fuzz_seconds: float) -> None:
    @BATCH
    @given(TEXTS, st.integers(1, 400))
    def check(text: str, times: int) -> None:
        record = "v=spf1 " + text * times
        started = time.perf_counter()
        parsed = parse_record(record)
        assert time.perf_counter() - started < 0.5
        if isinstance(parsed, Record):
            assert len(record) <= MAX_RECORD_CHARS
            assert record.isascii()
        else:
            assert is_safe(parsed.term, 200)
            assert parsed.text

    run_for(fuzz_seconds * 0.3, check)
