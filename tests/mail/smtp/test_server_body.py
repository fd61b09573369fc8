"""Messages by DATA and by BDAT: where they end, what is stored, and every way to smuggle."""

from dataclasses import replace
from itertools import pairwise

import pytest

from postern.mail.reply import Reply, reply
from postern.mail.smtp.body import ChunkDecoder, DataDecoder
from postern.mail.smtp.events import (
    BodyData,
    BodyEnd,
    BodyFailed,
    DataStart,
    Event,
    MailFrom,
    Reset,
    Violation,
)
from postern.mail.smtp.rehearsal import Answers, Rehearsal
from postern.mail.smtp.settings import ServerSettings
from postern.mail.smtp.wire import LocalProtocolError

STRICT = ServerSettings("mx.postern.test", max_message_bytes=1000)
KIND = replace(STRICT, normalise_bare_newlines=True)
OPENING = b"EHLO c.example\r\nMAIL FROM:<li@tea.example>\r\nRCPT TO:<wei@mill.example>\r\n"
NO: Answers = {}

FALSE_ENDS = [
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r.\n", b"\n.\r"),
    *(b"\n\n.\n\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\r.\n\r", b"\r\n\x00.\r\n"),
    *(b"\r\n.\x00\r\n", b"\r\n. \r\n", b"\r\n .\r\n", b"\x85.\x85", b"\xc2\x85.\xc2\x85"),
    *(b"\x0b.\x0b", b"\x0c.\x0c", b"\xe2\x80\xa8.\xe2\x80\xa8"),
]
"""What one server or another has once taken for the end of data."""


def opened(settings: ServerSettings = STRICT, answers: Answers = NO) -> Rehearsal:
    """A client that may send its message now."""
    client = Rehearsal(settings, answers)
    client.say(OPENING)
    return client


def senders(client: Rehearsal) -> list[Event]:
    """Every MAIL FROM that was obeyed."""
    return [event for event in client.events if isinstance(event, MailFrom)]


@pytest.mark.parametrize("false_end", FALSE_ENDS)
@pytest.mark.parametrize("settings", [STRICT, KIND], ids=["strict", "normalising"])
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_no_false_end_lets_a_second_message_out(
    false_end: bytes, settings: ServerSettings, step: int
) -> None:
    smuggled = b"MAIL FROM:<admin@bank.example>\r\nRCPT TO:<wei@mill.example>\r\nDATA\r\nevil\r\n"
    data = b"Subject: hi\r\n\r\n..hi" + false_end + smuggled + b".\r\nNOOP\r\n"
    client = opened(settings)
    client.say("DATA")
    client.feed(data[at : at + step] for at in range(0, len(data), step))
    assert len(senders(client)) == 1
    if isinstance(client.events[-1], BodyFailed):
        assert client.machine.closing
        assert client.events[-1].check == "standards.bare-lf"
        assert not client.messages
    else:
        (message,) = client.messages
        assert message.endswith(b"DATA\r\nevil\r\n")
        assert message.count(b"\r") == message.count(b"\n") == message.count(b"\r\n")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n.\r\n", b"..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"a\r\n..\r\n..b\r\n\r\n.\r\n", b"a\r\n.\r\n.b\r\n\r\n"),
        (b"..\r\n..\r\n..\r\n.\r\n", b".\r\n.\r\n.\r\n"),
        (b"\x00\xff\x80\r\n.\r\n", b"\x00\xff\x80\r\n"),
    ],
)
def test_dots_are_unstuffed_wherever_the_bytes_are_cut(sent: bytes, stored: bytes) -> None:
    for cut in range(len(sent) + 1):
        client = opened()
        client.say("DATA")
        client.feed([sent[:cut], sent[cut:]])
        assert client.messages == [stored]
        assert client.events[-1] == BodyEnd(len(stored))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\r\n..b\r\n"),
        (b"\n.\r\n\r\n.\r\n", b"\r\n.\r\n\r\n"),
    ],
)
def test_normalising_stores_crlf_wherever_the_bytes_are_cut(sent: bytes, stored: bytes) -> None:
    for cut in range(len(sent) + 1):
        client = opened(KIND)
        client.say("DATA")
        client.feed([sent[:cut], sent[cut:]])
        assert client.messages == [stored]


def test_normalising_never_loosens_a_command() -> None:
    client = opened(KIND)
    assert client.say(b"DATA\n").startswith("500 5.5.2 A bare LF in a command")
    assert client.machine.closing


@pytest.mark.parametrize(("byte", "name"), [(b"\n", "LF"), (b"\r", "CR")])
def test_a_bare_newline_is_answered_at_once_and_nothing_behind_it_is_read(
    byte: bytes, name: str
) -> None:
    client = opened()
    client.say("DATA")
    said = client.say(b"a\r\nb" + byte + b"c\r\n.\r\nRSET\r\n")
    assert said == (
        f"550 5.6.0 A bare {name} in the message; every line must end with CR LF PT-7Q2M-K4XD\r\n"
    )
    assert client.machine.closing
    assert client.machine.backlog_bytes == 0
    assert client.say("NOOP") == ""


def test_a_message_at_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    client = opened()
    client.say("DATA")
    assert client.say(b"x" * 998 + b"\r\n.\r\n").startswith("250 ")
    client.say(OPENING)
    client.say("DATA")
    said = client.say(b"x" * 999 + b"\r\n.\r\nNOOP\r\n")
    assert said.splitlines() == [
        "552 5.3.4 The message is bigger than the 1000 bytes accepted here PT-7Q2M-K4XD",
        "250 2.0.0 Ok",
    ]
    assert (
        BodyFailed("size.too-big", "The message is bigger than the 1000 bytes accepted here")
        in client.events
    )
    assert not client.machine.closing


def test_a_message_of_twice_the_limit_is_cut_off_while_it_comes() -> None:
    client = opened()
    client.say("DATA")
    for _ in range(20):
        assert client.say(b"x" * 98 + b"\r\n") == ""
        assert client.machine.backlog_bytes == 0
    assert client.say(b"xx").startswith("552 5.3.4 ")
    assert client.machine.closing


def test_a_large_message_streams_in_pieces_of_bounded_size() -> None:
    client = opened(replace(STRICT, max_message_bytes=10_000_000))
    machine = client.machine
    client.say("DATA")
    machine.receive(b"0123456789abcde\r\n" * 20_000 + b".\r\n", 1.0)
    sizes = []
    while isinstance(event := machine.next_event(), BodyData):
        sizes.append(len(event.data))
    assert event == BodyEnd(17 * 20_000)
    assert sum(sizes) == 17 * 20_000
    assert max(sizes) <= 65_536 + 4


def test_what_follows_the_final_dot_is_the_next_command() -> None:
    client = opened()
    said = client.say(b"DATA\r\nhi\r\n.\r\n" + OPENING + b"DATA\r\nho\r\n.\r\nQUIT\r\n")
    assert client.messages == [b"hi\r\n", b"ho\r\n"]
    assert said.endswith("221 2.0.0 Goodbye\r\n")


def test_the_answer_to_a_message_ends_its_transaction_whatever_it_is() -> None:
    client = opened(STRICT, {BodyEnd: reply(554, "5.7.1", "Not this one")})
    assert client.say(b"DATA\r\n.\r\n").endswith("554 5.7.1 Not this one PT-7Q2M-K4XD\r\n")
    assert client.say("RCPT TO:<a@b.example>").startswith("503 5.5.1 Send MAIL FROM first")


# --- an answer for each recipient (PRDR) -------------------------------------------------------

YES = reply(250, "2.0.0", "Accepted")
NEVER = reply(550, "5.7.1", "Never")
LATER = reply(450, "4.7.1", "Later")
TWO = b"EHLO c.example\r\nMAIL FROM:<li@tea.example> PRDR\r\n" + b"RCPT TO:<a@b.example>\r\n" * 2
FIRST = "353 The message was looked at; an answer for each recipient follows"
EACH = replace(STRICT, prdr=True)


@pytest.mark.parametrize("message", [b"DATA\r\nhi\r\n.\r\n", b"BDAT 4 LAST\r\nhi\r\n"])
def test_recipients_are_answered_one_by_one_and_then_the_message(message: bytes) -> None:
    client = Rehearsal(EACH)
    client.for_each = (NEVER, YES)
    client.say(TWO)
    said = client.say(message).splitlines()
    assert [line for line in said if not line.startswith("354")] == [
        FIRST,
        "550 5.7.1 Never PT-7Q2M-K4XD",
        "250 2.0.0 Accepted",
        "250 2.0.0 Accepted PT-7Q2M-K4XD",
    ]
    assert client.say("RCPT TO:<a@b.example>").startswith("503 5.5.1 Send MAIL FROM first")


def test_one_answer_for_all_needs_no_announcement() -> None:
    client = Rehearsal(EACH)
    client.say(TWO)
    client.say("DATA")
    assert client.say(".") == "250 2.0.0 Accepted PT-7Q2M-K4XD\r\n"


def test_what_one_recipient_is_told_is_in_the_dialogue() -> None:
    client = Rehearsal(EACH, {BodyEnd: LATER})
    client.for_each = (NEVER, LATER)
    client.say(TWO)
    client.say(b"DATA\r\n.\r\n")
    told = [text for _, side, text in client.machine.dialogue if side == "S"]
    assert told[-4:] == [
        FIRST,
        "550 5.7.1 Never PT-7Q2M-K4XD",
        "450 4.7.1 Later PT-7Q2M-K4XD",
        "450 4.7.1 Later PT-7Q2M-K4XD",
    ]


@pytest.mark.parametrize(
    ("opening", "answers"),
    [(TWO, (YES,)), (TWO, (YES,) * 3), (OPENING, (YES,))],
    ids=["too few", "too many", "not asked for"],
)
def test_answers_that_nobody_waits_for_are_a_bug(
    opening: bytes, answers: tuple[Reply, ...]
) -> None:
    client = Rehearsal(EACH)
    client.say(opening)
    machine = client.machine
    machine.receive(b"DATA\r\n", 1.0)
    assert isinstance(machine.next_event(), DataStart)
    with pytest.raises(LocalProtocolError):
        machine.reply(YES, 1.0, answers)
    machine.reply(reply(354, "", "Go ahead"), 1.0)
    machine.receive(b".\r\n", 1.0)
    assert isinstance(machine.next_event(), BodyEnd)
    machine.take_output()
    with pytest.raises(LocalProtocolError):
        machine.reply(YES, 1.0, answers)
    machine.reply(YES, 1.0)  # the question is still open, and nothing of the others was said
    assert machine.take_output() == b"250 2.0.0 Accepted PT-7Q2M-K4XD\r\n"


def test_chunks_make_a_message() -> None:
    client = opened()
    said = client.say(b"BDAT 6\r\nabc\r\n.BDAT 4\r\n\r\n\r\nBDAT 0 LAST\r\n")
    assert said.splitlines() == [
        "250 2.0.0 6 bytes received",
        "250 2.0.0 4 bytes received",
        "250 2.0.0 Accepted PT-7Q2M-K4XD",
    ]
    assert DataStart(chunking=True) in client.events
    assert client.messages == [b"abc\r\n.\r\n\r\n"]


def test_one_last_chunk_is_enough_and_may_look_like_commands() -> None:
    client = opened()
    content = b"QUIT\r\n.\r\nMAIL FROM:<x@y.example>\r\n\x00\xff"
    client.say(b"bdat %d last\r\n" % len(content) + content + b"NOOP\r\n")
    assert client.messages == [content]
    assert client.wire.endswith(b"250 2.0.0 Ok\r\n")


def test_an_empty_message_may_come_by_chunks() -> None:
    client = opened()
    client.say("BDAT 0 LAST")
    assert client.messages == [b""]


@pytest.mark.parametrize(
    "chunks", [[b"a\nb"], [b"a", b"\n"], [b"a\rb"], [b"a\r", b"b"], [b"a\r"], [b"\n"]]
)
def test_bare_newlines_in_chunks_are_refused(chunks: list[bytes]) -> None:
    client = opened()
    for chunk in chunks:
        client.say(b"BDAT %d\r\n" % len(chunk) + chunk)
    client.say("BDAT 0 LAST")
    failure = client.events[-1]
    assert isinstance(failure, BodyFailed)
    assert failure.check == "standards.bare-lf"
    assert client.machine.closing


def test_a_line_end_may_be_split_between_chunks() -> None:
    client = opened()
    client.say(b"BDAT 2\r\na\rBDAT 3 LAST\r\n\nb\r")
    assert isinstance(client.events[-1], BodyFailed)
    client = opened()
    client.say(b"BDAT 2\r\na\rBDAT 4 LAST\r\n\nb\r\n")
    assert client.messages == [b"a\r\nb\r\n"]


def test_normalising_works_in_chunks_too() -> None:
    client = opened(KIND)
    client.say(b"BDAT 4\r\na\nb\rBDAT 2 LAST\r\nc\r")
    assert client.messages == [b"a\r\nb\r\nc\r\n"]


def test_a_chunk_over_the_limit_is_swallowed_and_then_refused() -> None:
    client = opened()
    said = client.say(b"BDAT 600\r\n" + b"x" * 600 + b"BDAT 600\r\n" + b"QUIT\r\n" * 100)
    assert said.splitlines() == [
        "250 2.0.0 600 bytes received",
        "552 5.3.4 The message is bigger than the 1000 bytes accepted here PT-7Q2M-K4XD",
    ]
    assert client.say(b"BDAT 6 LAST\r\nQUIT\r\n").startswith("503 5.5.1 Send MAIL FROM first")
    assert not client.machine.closing


def test_a_chunk_of_more_than_twice_the_limit_is_not_even_read() -> None:
    client = opened()
    assert client.say("BDAT 2001").startswith("552 5.3.4 ")
    assert client.machine.closing


@pytest.mark.parametrize("argument", ["", " x", " -1", " 1 FIRST", " LAST", " 1 LAST LAST", " 0x1"])
def test_a_bdat_that_cannot_be_counted_ends_the_connection(argument: str) -> None:
    client = opened()
    assert client.say(f"BDAT{argument}").startswith("501 5.5.4 BDAT needs a number of bytes")
    assert client.machine.closing


def test_the_octets_of_a_refused_chunk_are_never_commands() -> None:
    client = Rehearsal(STRICT)
    said = client.say(b"EHLO a\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert said.endswith("503 5.5.1 Send MAIL FROM first PT-7Q2M-K4XD\r\n250 2.0.0 Ok\r\n")


def test_a_session_that_refuses_chunks_has_the_first_swallowed() -> None:
    client = opened(STRICT, {DataStart: reply(554, "5.7.1", "No")})
    said = client.say(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert said == "554 5.7.1 No PT-7Q2M-K4XD\r\n250 2.0.0 Ok\r\n"


def test_bdat_where_it_is_not_offered_is_swallowed() -> None:
    client = opened(replace(STRICT, chunking=False))
    said = client.say(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")
    assert said.startswith("502 5.5.1 BDAT is not offered here")
    assert said.endswith("250 2.0.0 Ok\r\n")


def test_a_reset_between_chunks_ends_the_message() -> None:
    client = opened()
    client.say(b"BDAT 3\r\nabcRSET\r\n")
    assert client.events[-1] == Reset()
    client.say(OPENING.partition(b"\r\n")[2] + b"BDAT 3 LAST\r\nxyz")
    assert client.messages == [b"xyz"]


def test_data_among_chunks_is_refused_and_the_chunks_go_on() -> None:
    client = opened()
    said = client.say(b"BDAT 3\r\nabcDATA\r\nBDAT 0 LAST\r\n")
    assert "503 5.5.1 This message comes by BDAT" in said
    assert isinstance(client.events[-2], Violation)
    assert said.endswith("250 2.0.0 Accepted PT-7Q2M-K4XD\r\n")


def test_decoders_hold_back_at_most_four_bytes() -> None:
    sent = b"a\r\n..b\r\n\r\n..\r\nc" * 50
    edges = range(len(sent) + 1)
    decoder = DataDecoder(normalise=False)
    out = 0
    for start, end in pairwise(edges):
        out += len(decoder.feed(sent[start:end]))
        assert end - out - sent[:end].count(b"\r\n..") <= 4
    chunks = ChunkDecoder(normalise=False)
    assert chunks.feed(b"a\r", last=False) == b"a"
    assert chunks.feed(b"\n", last=True) == b"\r\n"
