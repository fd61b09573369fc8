"""The server machine's conversation: greeting, order, limits, replies, what is told to whom."""

import gc
import sys

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Sender
from postern.mail.reply import reply
from postern.mail.smtp.events import (
    BodyData,
    BodyEnd,
    DataStart,
    Hello,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    Verify,
    Violation,
)
from postern.mail.smtp.order import ORDER, Phase
from postern.mail.smtp.rehearsal import Rehearsal
from postern.mail.smtp.server import LocalProtocolError, ServerMachine, ServerSettings

CODE = "PT-7Q2M-K4XD"
HELLO = "EHLO client.example"
MAIL = "MAIL FROM:<li@tea.example>"
RCPT = "RCPT TO:<wei@mill.example>"


def small(**limits: int) -> ServerSettings:
    """Settings with these limits."""
    return ServerSettings(
        "mx.postern.test",
        max_message_bytes=limits.get("size", 1000),
        max_recipients=limits.get("recipients", 3),
        max_mails=limits.get("mails", 3),
        max_errors=limits.get("errors", 5),
        max_commands=limits.get("commands", 50),
    )


def test_a_message_comes_in() -> None:
    client = Rehearsal()
    assert client.say_all(HELLO, MAIL, RCPT, "DATA", b"Hi\r\n..\r\n.\r\n", "QUIT")[1:] == [
        "250 2.1.0 Sender ok\r\n",
        "250 2.1.5 Recipient ok\r\n",
        "354 Send the message; end it with a dot on a line of its own\r\n",
        f"250 2.0.0 Accepted {CODE}\r\n",
        "221 2.0.0 Goodbye\r\n",
    ]
    assert [type(event) for event in client.events] == [
        *(Hello, MailFrom, RcptTo, DataStart, BodyData, BodyEnd, Quit)
    ]
    assert client.messages == [b"Hi\r\n.\r\n"]
    assert client.events[5] == BodyEnd(7)
    assert client.machine.closing


def test_pipelined_commands_are_answered_in_one_write() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    machine.greet(0.0)
    machine.take_output()
    machine.receive(f"{HELLO}\r\n{MAIL}\r\n{RCPT}\r\nDATA\r\n".encode(), 1.0)
    assert isinstance(machine.next_event(), Hello)
    for expected in (MailFrom, RcptTo, DataStart):
        assert isinstance(machine.next_event(), expected)
        assert machine.awaits_answer
        assert machine.next_event() is None  # nothing overtakes an unanswered question
        machine.reply(reply(250, "2.0.0", "Yes"), 2.0)
    assert machine.next_event() is None
    assert machine.take_output().endswith(
        b"\r\n250 2.0.0 Yes\r\n250 2.0.0 Yes\r\n"
        b"354 Send the message; end it with a dot on a line of its own\r\n"
    )
    assert machine.take_output() == b""


def test_ehlo_offers_what_applies() -> None:
    settings = ServerSettings("mx.postern.test", offer_starttls=True, offer_auth=True)
    clear = Rehearsal(settings).say(HELLO)
    for keyword in ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN"):
        assert f"250-{keyword}\r\n" in clear
    assert "250-ENHANCEDSTATUSCODES\r\n250-LIMITS MAILMAX=10000 RCPTMAX=1000\r\n" in clear
    assert clear.startswith("250-mx.postern.test\r\n")
    assert clear.endswith("250 STARTTLS\r\n")
    assert "AUTH" not in clear
    secure = Rehearsal(settings, tls_active=True).say(HELLO)
    assert secure.endswith("250 AUTH PLAIN LOGIN\r\n")
    assert "STARTTLS" not in secure
    bare = Rehearsal(ServerSettings("mx.postern.test", smtputf8=False, chunking=False)).say(HELLO)
    assert not any(word in bare for word in ("SMTPUTF8", "CHUNKING", "STARTTLS", "AUTH"))


def test_helo_is_answered_in_one_line() -> None:
    assert Rehearsal().say("HELO client.example") == "250 mx.postern.test\r\n"


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a" * 256, "a\x1b[2Jb"])
def test_a_hello_without_a_usable_name_is_refused(name: str) -> None:
    assert Rehearsal().say(f"EHLO {name}").startswith("501 5.5.4 ")


def test_an_odd_name_is_left_to_policy() -> None:
    client = Rehearsal()
    client.say("HELO my desk_top!")
    assert client.events == [Hello("my desk_top!", extended=False)]
    assert client.machine.helo == "my desk_top!"


def test_a_new_ehlo_ends_the_transaction() -> None:
    client = Rehearsal()
    client.say_all(HELLO, MAIL, RCPT, HELLO)
    assert client.events[-2:] == [Reset(), Hello("client.example", extended=True)]
    assert client.say("DATA").startswith("503 5.5.1 Send MAIL FROM first")


def test_rset_tells_only_of_a_transaction_that_was() -> None:
    client = Rehearsal()
    client.say_all("RSET", HELLO, "RSET")
    assert Reset() not in client.events
    client.say_all(MAIL, "RSET")
    assert client.events[-1] == Reset()
    assert client.say(RCPT).startswith("503 ")


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((MAIL,), "503 5.5.1 Say EHLO first"),
        ((RCPT,), "503 5.5.1 Say EHLO first"),
        (("DATA",), "503 5.5.1 Say EHLO first"),
        (("STARTTLS",), "503 5.5.1 Say EHLO first"),
        (("AUTH PLAIN",), "503 5.5.1 Say EHLO first"),
        ((HELLO, RCPT), "503 5.5.1 Send MAIL FROM first"),
        ((HELLO, "DATA"), "503 5.5.1 Send MAIL FROM first"),
        ((HELLO, "BDAT 0"), "503 5.5.1 Send MAIL FROM first"),
        ((HELLO, MAIL, "DATA"), "503 5.5.1 Send RCPT TO first"),
        ((HELLO, MAIL, MAIL), "503 5.5.1 A sender was already given"),
        ((HELLO, MAIL, RCPT, MAIL), "503 5.5.1 A sender was already given"),
        ((HELLO, MAIL, "AUTH PLAIN"), "503 5.5.1 Not while a message is under way"),
        ((HELLO, MAIL, RCPT, "BDAT 0", "DATA"), "503 5.5.1 This message comes by BDAT"),
        ((HELLO, MAIL, RCPT, "BDAT 0", RCPT), "503 5.5.1 This message comes by BDAT"),
        (("EXPN list",), "502 5.5.1 "),
        (("FROB",), "500 5.5.1 "),
        (("",), "500 5.5.1 "),
        (("MAIL\tFROM:<a@b.example>",), "500 5.5.1 "),
        ((HELLO, MAIL, RCPT, "DATA now"), "501 5.5.4 "),
        (("RSET now",), "501 5.5.4 "),
        (("QUIT now",), "501 5.5.4 "),
        (("VRFY",), "501 5.5.4 "),
        ((HELLO, "MAIL TO:<a@b.example>"), "501 5.5.4 Say MAIL FROM:<address>"),
        ((HELLO, MAIL, "RCPT FROM:<a@b.example>"), "501 5.5.4 Say RCPT TO:<address>"),
        ((HELLO, "MAIL FROM:li@tea.example"), "501 5.1.7 Sender not understood: put the address"),
        ((HELLO, MAIL, "RCPT TO:<wei>"), "501 5.1.3 Recipient not understood: the address has"),
    ],
)
def test_each_mistake_has_its_own_answer(lines: tuple[str, ...], answer: str) -> None:
    client = Rehearsal()
    said = client.say_all(*lines)[-1]
    assert said.startswith(answer)
    assert said.endswith(f" {CODE}\r\n")
    violation = client.events[-1]
    assert isinstance(violation, Violation)
    assert not violation.hopeless
    assert not client.machine.closing


def test_every_verb_has_a_rule_for_every_phase() -> None:
    assert all(len(row) == len(Phase) for row in ORDER.values())


def test_commands_are_read_in_any_case_and_with_blanks_behind() -> None:
    client = Rehearsal()
    client.say_all("ehlo client.example", "mail from: <li@tea.example>  ", "Rcpt To:<a@b.example>")
    assert client.say("data  ").startswith("354 ")


def test_noop_help_and_vrfy_come_at_any_time() -> None:
    client = Rehearsal()
    assert client.say("NOOP whatever") == "250 2.0.0 Ok\r\n"
    assert client.say("HELP").startswith("214-2.0.0 ")
    assert client.say("VRFY li") == "252 2.0.0 Send some mail and see\r\n"
    assert client.events == [Verify("li")]


def test_data_without_an_accepted_recipient_says_so() -> None:
    client = Rehearsal(answers={RcptTo: reply(550, "5.1.1", "Nobody here by that name")})
    said = client.say_all(HELLO, MAIL, RCPT, "DATA")
    assert said[2] == f"550 5.1.1 Nobody here by that name {CODE}\r\n"
    assert said[3].startswith("554 5.5.1 No recipient was accepted")


def test_a_refused_sender_leaves_room_for_another() -> None:
    client = Rehearsal(answers={MailFrom: reply(550, "5.7.1", "Not you")})
    client.say_all(HELLO, MAIL)
    assert client.say(RCPT).startswith("503 5.5.1 Send MAIL FROM first")
    client.answers[MailFrom] = reply(250, "2.1.0", "Sender ok")
    assert client.say(MAIL).startswith("250 ")


def test_refused_data_ends_the_transaction() -> None:
    client = Rehearsal(answers={DataStart: reply(451, "4.3.0", "Not now")})
    assert client.say_all(HELLO, MAIL, RCPT, "DATA")[-1] == f"451 4.3.0 Not now {CODE}\r\n"
    assert client.say(MAIL).startswith("250 ")


def test_one_recipient_too_many_is_452_and_no_error() -> None:
    client = Rehearsal(small(recipients=2, errors=3))
    said = client.say_all(HELLO, MAIL, *[RCPT] * 10, "DATA")
    assert [line[:9] for line in said[2:]] == ["250 2.1.5"] * 2 + ["452 4.5.3"] * 8 + ["354 Send "]
    assert not client.machine.closing


def test_a_declared_size_over_the_limit_is_refused_at_mail() -> None:
    client = Rehearsal(small(size=1000))
    client.say(HELLO)
    assert client.say(f"{MAIL} SIZE=1000").startswith("250 ")
    client.say("RSET")
    said = client.say(f"{MAIL} SIZE=1001")
    assert said.startswith("552 5.3.4 This message is 1001 bytes; at most 1000 are accepted")
    violation = client.events[-1]
    assert isinstance(violation, Violation)
    assert violation.check == "size.too-big"


def test_too_many_errors_end_the_connection() -> None:
    client = Rehearsal(small(errors=3))
    said = client.say_all("FROB", "FROB", "FROB", "NOOP")
    assert said[1].startswith("500 ")
    assert said[2] == f"421 4.7.0 Too many errors on this connection {CODE}\r\n"
    assert said[3] == ""
    assert client.machine.closing


def test_too_many_commands_end_the_connection_but_mail_starts_the_count_anew() -> None:
    client = Rehearsal(small(commands=6, mails=9))
    for _ in range(3):
        client.say_all(HELLO, MAIL, RCPT, "DATA", b".\r\n")
    assert client.say_all(*["NOOP"] * 7)[-1].startswith("421 4.7.0 Too many commands")
    assert client.machine.closing


def test_too_many_messages_end_the_connection() -> None:
    client = Rehearsal(small(mails=2))
    client.say(HELLO)
    for _ in range(2):
        client.say_all(MAIL, RCPT, "DATA", b".\r\n")
    assert client.say(MAIL).startswith("421 4.7.0 Enough messages")
    assert client.machine.closing


@pytest.mark.parametrize("pieces", [1, 7, 5000])
def test_a_command_that_is_too_long_is_refused_and_the_next_one_read(pieces: int) -> None:
    data = b"NOOP " + b"x" * 3000 + b"\r\nNOOP\r\n"
    client = Rehearsal()
    client.feed(data[at : at + pieces] for at in range(0, len(data), pieces))
    answers = client.wire.split(b"\r\n")
    assert answers[1].startswith(b"500 5.5.6 This command line is too long")
    assert answers[2] == b"250 2.0.0 Ok"
    assert client.machine.backlog_bytes == 0


def test_a_line_of_2048_bytes_is_the_longest() -> None:
    assert Rehearsal().say(b"NOOP " + b"x" * 2041 + b"\r\n").startswith("250 ")
    assert Rehearsal().say(b"NOOP " + b"x" * 2042 + b"\r\n").startswith("500 5.5.6 ")


def test_a_line_without_end_is_cut_off_in_little_memory() -> None:
    client = Rehearsal()
    for _ in range(64):
        client.say(b"x" * 1024)
        assert client.machine.backlog_bytes < 2048
    assert client.machine.closing
    assert client.wire.endswith(b"This line does not end; closing the connection PT-7Q2M-K4XD\r\n")


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"\n", b"NOOP\r\n\n"])
def test_a_bare_newline_in_a_command_ends_the_connection(line: bytes) -> None:
    client = Rehearsal()
    assert "500 5.5.2 A bare " in client.say(line + b"NOOP\r\nNOOP\r\n")
    violation = client.events[-1]
    assert isinstance(violation, Violation)
    assert (violation.check, violation.hopeless) == ("standards.bare-lf", True)
    assert client.machine.closing
    assert client.say("NOOP") == ""


@pytest.mark.parametrize("verb", ["GET", "POST", "CONNECT", "HEAD", "OPTIONS"])
def test_web_browsers_are_sent_away_at_once(verb: str) -> None:
    client = Rehearsal()
    said = client.say(f"{verb} / HTTP/1.1\r\nHost: mx\r\nMAIL FROM:<a@b.example>\r\n".encode())
    assert said.startswith("500 5.5.1 This is a mail server")
    assert said.count("\r\n") == 1
    assert client.machine.closing


@pytest.mark.parametrize(
    "hello", [b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\r\nNOOP\r\n"]
)
def test_tls_on_a_clear_port_is_cut_off_at_once(hello: bytes) -> None:
    client = Rehearsal()
    assert client.say(hello).startswith("500 5.5.1 TLS without STARTTLS")
    assert client.machine.closing


def test_a_421_from_the_session_ends_the_connection() -> None:
    client = Rehearsal(answers={MailFrom: reply(421, "4.3.2", "Going down")})
    client.say_all(HELLO, MAIL)
    assert client.machine.closing
    assert client.say("NOOP") == ""


def test_a_421_greeting_is_the_last_word() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    machine.trace = CODE
    machine.greet_with(reply(421, "4.7.0", "Too many connections"), 0.0)
    assert machine.take_output() == f"421 4.7.0 Too many connections {CODE}\r\n".encode()
    assert machine.closing


def test_after_a_554_greeting_only_quit_is_left() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    machine.greet_with(reply(554, "5.7.1", "Not you"), 0.0)
    machine.receive(b"EHLO a\r\nMAIL FROM:<>\r\nQUIT\r\n", 1.0)
    assert isinstance(machine.next_event(), Violation)
    assert isinstance(machine.next_event(), Violation)
    assert isinstance(machine.next_event(), Quit)
    assert machine.take_output().count(b"503 5.5.1 No mail is taken") == 2


def test_nothing_is_read_before_the_greeting() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    assert not machine.talked_early
    machine.receive(b"EHLO a\r\n", 0.0)
    assert machine.talked_early
    assert machine.next_event() is None
    machine.greet(1.0)
    assert machine.next_event() == Hello("a", extended=True)


def test_a_flood_behind_an_open_question_ends_the_connection_in_bounded_memory() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    machine.greet(0.0)
    machine.receive(f"{HELLO}\r\n{MAIL}\r\n".encode(), 0.0)
    machine.next_event()
    assert isinstance(machine.next_event(), MailFrom)
    for _ in range(40):
        machine.receive(b"NOOP\r\n" * 10_000, 1.0)
        assert machine.backlog_bytes <= 1_048_576
    machine.reply(reply(250, "2.1.0", "Sender ok"), 2.0)
    violation = machine.next_event()
    assert isinstance(violation, Violation)
    assert violation.hopeless
    assert b"421 4.7.0 Too much was sent ahead" in machine.take_output()


def test_an_answer_nobody_asked_for_is_our_own_mistake() -> None:
    machine = ServerMachine(ServerSettings("mx.postern.test"))
    machine.greet(0.0)
    with pytest.raises(LocalProtocolError):
        machine.reply(reply(250, "2.0.0", "Ok"), 0.0)


def test_the_trace_code_is_asked_for_only_when_it_is_shown() -> None:
    client = Rehearsal()
    asked: list[str] = []

    def source() -> str:
        asked.append(CODE)
        return CODE

    client.machine.trace_source = source
    client.say_all(HELLO, MAIL, RCPT, "NOOP", "DATA")
    assert asked == []
    assert client.say(b".\r\n").endswith(f" {CODE}\r\n")
    assert client.say("FROB").endswith(f" {CODE}\r\n")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("hello", "mail", "tls", "user", "keyword"),
    [
        ("HELO a", MAIL, False, None, "SMTP"),
        ("EHLO a", MAIL, False, None, "ESMTP"),
        ("EHLO a", MAIL, True, None, "ESMTPS"),
        ("EHLO a", MAIL, True, "li", "ESMTPSA"),
        ("EHLO a", MAIL, False, "li", "ESMTPA"),
        ("EHLO a", f"{MAIL} SMTPUTF8", False, None, "UTF8SMTP"),
        ("EHLO a", f"{MAIL} SMTPUTF8", True, "li", "UTF8SMTPSA"),
    ],
)
def test_received_is_told_the_protocol(
    hello: str, mail: str, *, tls: bool, user: str | None, keyword: str
) -> None:
    client = Rehearsal(tls_active=tls)
    client.machine.authenticated_as = user
    client.say_all(hello, mail)
    assert client.machine.with_keyword == keyword
    client.say_all(RCPT, "DATA", b".\r\n")
    assert "UTF8" not in client.machine.with_keyword


def test_the_dialogue_is_kept_with_its_times() -> None:
    client = Rehearsal()
    client.say_all(HELLO, MAIL)
    first, *_, asked, answered = client.machine.dialogue
    assert first == (0.0, "S", "220 mx.postern.test ESMTP Postern")
    assert asked == (2.0, "C", MAIL)
    assert answered == (2.0, "S", "250 2.1.0 Sender ok")


def test_the_dialogue_has_no_content_and_no_controls() -> None:
    client = Rehearsal()
    client.say_all(HELLO, MAIL, RCPT, "DATA", b"top secret\r\n.\r\n", b"\x1b[2J\r\n")
    texts = [text for _, _, text in client.machine.dialogue]
    assert not any("secret" in text for text in texts)
    assert "[12 bytes of message]" in texts
    assert "?[2J" in texts


def test_the_dialogue_is_bounded_and_keeps_beginning_and_end() -> None:
    client = Rehearsal()
    client.say_all(*[f"NOOP {number:04} {'é' * 900}" for number in range(1000)])
    dialogue = client.machine.dialogue
    assert len(dialogue) <= 300
    assert all(len(text.encode()) <= 512 for _, _, text in dialogue)
    assert dialogue[0][2].startswith("220 ")
    assert dialogue[-2][2].startswith("NOOP 0999")
    dialogue.clear()
    assert list(dialogue) == []


def test_an_idle_connection_keeps_nothing_of_what_was_read() -> None:
    client = Rehearsal()
    client.say_all(HELLO, MAIL, RCPT)
    data = b"DATA\r\n" + b"x" * 60_000 + b"\r\n.\r\nNOOP\r\nNO"
    before = sys.getrefcount(data)
    client.say(data)
    assert client.machine.backlog_bytes == 2
    assert sys.getrefcount(data) == before


def test_machines_leave_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        settings = ServerSettings("mx.postern.test")
        before = sys.getrefcount(settings)
        machine = ServerMachine(settings)
        machine.greet(0.0)
        machine.receive(f"{HELLO}\r\n{MAIL}\r\n".encode(), 0.0)
        while machine.next_event() is not None:
            pass
        assert machine.awaits_answer
        assert sys.getrefcount(settings) > before
        del machine
        assert sys.getrefcount(settings) == before
    finally:
        gc.enable()


def test_a_sender_comes_with_its_parameters() -> None:
    client = Rehearsal()
    client.say_all(HELLO, f"{MAIL} SIZE=10")
    assert client.events[-1] == MailFrom(Sender(Address("li", "tea.example"), 10))
