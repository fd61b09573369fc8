"""Invariant: whatever bytes arrive, whole or byte by byte or split anywhere, the server machine
raises nothing, gives the same events and output, holds bounded memory, and only CR LF . CR LF ends
data."""

import re
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postern.mail.reply import reply
from postern.mail.smtp.events import BodyData, BodyEnd, BodyFailed, Event, RcptTo, StartTls
from postern.mail.smtp.rehearsal import Answers, Rehearsal
from postern.mail.smtp.settings import MAX_AUTH_BYTES, MAX_COMMAND_BYTES, ServerSettings

pytestmark = pytest.mark.fuzz

BATCH = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
STRICT = ServerSettings(
    "mx.postern.test",
    max_message_bytes=60,
    max_recipients=2,
    max_errors=12,
    max_commands=40,
    offer_auth=True,
    offer_starttls=True,
    prdr=True,
)
KIND = replace(STRICT, normalise_bare_newlines=True)
NO: Answers = {}

LINES = (
    b"EHLO client.example\r\n",
    b"HELO client.example\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"mail from:<> size=10 ret=hdrs envid=x+41\r\n",
    b"MAIL FROM:<\xc3\xa9@b.example> SMTPUTF8 BODY=8BITMIME\r\n",
    b"MAIL FROM:<a@b.example> SIZE=99999999\r\n",
    b"MAIL FROM:<a@b.example> prdr\r\n",
    b'RCPT TO:<"a b"@[IPv6:2001:db8::1]> NOTIFY=NEVER ORCPT=rfc822;x+40y\r\n',
    b"RCPT TO:<@x.example:postmaster@b.example>\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"DATA\r\n",
    b"BDAT 3\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 8 LAST\r\n",
    b"BDAT 100\r\n",
    b"BDAT 121 LAST\r\n",
    b"BDAT x\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY a\r\n",
    b"HELP\r\n",
    b"QUIT\r\n",
    b"AUTH PLAIN " + b64encode(b"\0a\0b") + b"\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH PLAIN\r\n",
    b"YQ==\r\n",
    b"*\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"Subject: hello\r\n\r\nbody\r\n.\r\n",
    b"..\r\n.\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\r\r\n",
    b"\r",
    b"\n",
    b".",
)
LONG = st.sampled_from([509, 2045, 2046, 2047, 2048, 12_287, 65_535, 65_536])
"""A number stands for so many letters, so that a failing example can still be read."""
OPENING = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
PIECE = st.one_of(*[st.sampled_from(LINES)] * 6, st.just(OPENING), st.binary(max_size=20), LONG)
EACH = b"EHLO c.example\r\nMAIL FROM:<> PRDR\r\n" + 2 * b"RCPT TO:<c@d.example>\r\n"
START = st.sampled_from([b"", OPENING, OPENING + b"DATA\r\n", OPENING + b"BDAT 5\r\n", EACH])
FOR_EACH = (reply(550, "5.7.1", "No", "Never"), reply(250, "2.0.0", "Yes"))
PIECES = st.lists(PIECE, max_size=25)
TINY = st.text(alphabet="\r\n.a", max_size=60).map(str.encode)
SPLITS = st.lists(st.integers(0, 70_000), max_size=12)


def run_for(seconds: float, check: Callable[[], None]) -> None:
    """Runs batches of examples until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()


def rehearse(
    pieces: list[bytes],
    speaks: ServerSettings = STRICT,
    answers: Answers = NO,
    *,
    tls: bool = False,
) -> Rehearsal:
    """Plays the pieces, looking at the memory after each."""
    rehearsal = Rehearsal(speaks, answers, tls_active=tls)
    rehearsal.for_each = FOR_EACH
    for piece in pieces:
        rehearsal.say(piece)
        assert rehearsal.machine.backlog_bytes <= max(MAX_AUTH_BYTES, MAX_COMMAND_BYTES)
        assert len(rehearsal.machine.dialogue) <= 300
    assert all(len(text.encode()) <= 512 for _, _, text in rehearsal.machine.dialogue)
    return rehearsal


def spelt_out(piece: bytes | int) -> bytes:
    """A piece as bytes."""
    return b"a" * piece if isinstance(piece, int) else piece


def split(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` cut at these places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def single(data: bytes) -> list[bytes]:
    """``data`` byte by byte, but long runs of one letter in larger bites, to keep the pace."""
    return re.findall(rb"a{100}|.", data, re.DOTALL)


def facts(rehearsal: Rehearsal) -> tuple[list[Event], bytes, bool]:
    """All that a session and a client see; an unfinished body may come in any pieces."""
    events = rehearsal.events
    told = events[:-1] if events and isinstance(events[-1], BodyData) else events
    return told, rehearsal.wire, rehearsal.machine.closing


@pytest.mark.parametrize("speaks", [STRICT, KIND], ids=["strict", "normalising"])
@pytest.mark.parametrize("layer", ["clear", "tls"])
def test_any_split_gives_the_same_events_and_output(
    fuzz_seconds: float, speaks: ServerSettings, layer: str
) -> None:
    tls = layer == "tls"
    # A yes to STARTTLS depends on the moment by design: what came before it is dropped.
    answers: Answers = {StartTls: reply(454, "4.7.0", "Not now")} if tls else NO

    @BATCH
    @given(START, PIECES, SPLITS)
    def check(start: bytes, pieces: list[bytes | int], places: list[int]) -> None:
        data = start + b"".join(map(spelt_out, pieces))
        whole = rehearse([data], speaks, answers, tls=tls)
        assert facts(rehearse(split(data, places), speaks, answers, tls=tls)) == facts(whole)
        assert facts(rehearse(single(data), speaks, answers, tls=tls)) == facts(whole)

    run_for(fuzz_seconds / 4, check)


def test_nothing_raises_whatever_the_session_answers(fuzz_seconds: float) -> None:
    answer = st.sampled_from(
        [reply(250, "2.0.0", "Yes"), reply(550, "5.0.0", "No"), reply(421, "4.0.0", "Bye")]
    )

    @BATCH
    @given(
        st.lists(st.one_of(PIECE, st.just(b"STARTTLS\r\n")), max_size=20),
        st.fixed_dictionaries(dict.fromkeys(Rehearsal().answers, answer)),
        st.booleans(),
    )
    def check(pieces: list[bytes | int], answers: Answers, tls: bool) -> None:  # noqa: FBT001 - drawn
        rehearsal = rehearse([spelt_out(piece) for piece in pieces], KIND, answers, tls=tls)
        for line in re.findall(rb"[^\n]*\n?", rehearsal.wire)[:-1]:
            assert re.fullmatch(rb"[2-5]\d\d[ -][ -~]*\r\n", line)
            assert len(line) <= 512

    run_for(fuzz_seconds, check)


def test_each_message_has_one_answer_or_one_more_than_recipients(fuzz_seconds: float) -> None:
    told = {RcptTo: reply(250, "2.1.5", "Recipient"), BodyEnd: reply(250, "2.0.0", "Message")}

    @BATCH
    @given(START, PIECES)
    def check(start: bytes, pieces: list[bytes | int]) -> None:
        wire = rehearse([start, *map(spelt_out, pieces)], STRICT, told).wire
        promised = 0
        for line in (lines := iter(wire.splitlines())):
            promised += b"Recipient" in line
            if line.startswith(b"353 "):
                each = [next(lines) for n in range(promised) for _ in range(2 - n % 2)]
                starts = [(b"550-", b"550 ", b"250 ")[n % 3] for n in range(len(each))]
                assert [one[:4] for one in each] == starts
                assert b"Message" in next(lines)
            if b"2.1.0" in line:
                promised = 0

    run_for(fuzz_seconds, check)


def test_only_crlf_dot_crlf_ends_data_and_bare_newlines_are_refused(fuzz_seconds: float) -> None:
    roomy = ServerSettings("mx.postern.test")

    @BATCH
    @given(TINY, SPLITS)
    def check(data: bytes, places: list[int]) -> None:
        rehearsal = Rehearsal(roomy)
        rehearsal.say(OPENING + b"DATA\r\n")
        rehearsal.feed(split(data, places))
        lines, ended = lines_of(data)
        if any(re.search(rb"[\r\n]", line) for line in lines):
            assert isinstance(rehearsal.events[-1], BodyFailed)
            assert rehearsal.machine.closing
        elif ended:
            assert rehearsal.messages[0] == b"".join(line + b"\r\n" for line in lines)
        else:
            assert not any(isinstance(event, BodyEnd | BodyFailed) for event in rehearsal.events)

    run_for(fuzz_seconds, check)


def test_normalising_changes_content_but_never_what_ends_data(fuzz_seconds: float) -> None:
    roomy = ServerSettings("mx.postern.test", normalise_bare_newlines=True)

    @BATCH
    @given(TINY, SPLITS)
    def check(data: bytes, places: list[int]) -> None:
        rehearsal = Rehearsal(roomy)
        rehearsal.say(OPENING + b"DATA\r\n")
        rehearsal.feed(split(data, places))
        lines, ended = lines_of(data)
        stored = [re.sub(rb"[\r\n]", b"\r\n", line) + b"\r\n" for line in lines]
        if ended:
            assert rehearsal.messages[0] == b"".join(stored)
        else:
            assert not rehearsal.messages

    run_for(fuzz_seconds, check)


def lines_of(data: bytes) -> tuple[list[bytes], bool]:
    """The slow and plain reading of RFC 5321 §4.5.2: lines up to the lone dot; was it there?

    Without the lone dot, the last item is what stands behind the last CR LF, less a final CR that
    may still become a line's end.
    """
    lines = data.split(b"\r\n")
    ended = b"." in lines[:-1]
    lines = lines[: lines.index(b".")] if ended else [*lines[:-1], lines[-1].removesuffix(b"\r")]
    return [line.removeprefix(b".") for line in lines], ended
