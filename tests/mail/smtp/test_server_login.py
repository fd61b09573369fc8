"""STARTTLS and AUTH: nothing from before counts, nothing secret is shown."""

from base64 import b64encode

import pytest

from postern.mail.reply import reply
from postern.mail.smtp.events import Credentials, Hello, Reset, StartTls, Violation
from postern.mail.smtp.rehearsal import Rehearsal
from postern.mail.smtp.server import ServerMachine
from postern.mail.smtp.settings import ServerSettings

SUBMISSION = ServerSettings("mx.postern.test", offer_starttls=True, offer_auth=True)
CODE = "PT-7Q2M-K4XD"
HELLO = "EHLO client.example"
PLAIN = b64encode(b"\0li@tea.example\0s3cret").decode()
USER = b64encode(b"li@tea.example").decode()
SECRET = b64encode(b"s3cret").decode()
LI = Credentials("PLAIN", "li@tea.example", "s3cret")


def secure(settings: ServerSettings = SUBMISSION) -> Rehearsal:
    """A client under TLS that said EHLO."""
    client = Rehearsal(settings, tls_active=True)
    client.say(HELLO)
    return client


def test_tls_makes_the_machine_forget_what_was_said() -> None:
    client = Rehearsal(SUBMISSION)
    client.say_all(HELLO, "MAIL FROM:<a@b.example>")
    assert client.say("STARTTLS") == "220 2.0.0 Go ahead\r\n"
    assert client.events[-2:] == [Reset(), StartTls()]
    machine = client.machine
    assert (machine.tls_active, machine.helo, machine.extended) == (True, "", False)
    assert client.say("MAIL FROM:<a@b.example>").startswith("503 5.5.1 Say EHLO first")
    assert "STARTTLS" not in client.say(HELLO)
    assert client.say("STARTTLS").startswith("503 5.5.1 TLS is already active")


def test_what_is_pipelined_behind_starttls_is_thrown_away() -> None:
    machine = ServerMachine(SUBMISSION)
    machine.greet(0.0)
    machine.receive(b"EHLO a\r\nSTARTTLS\r\nEHLO evil\r\nMAIL FROM:<x@y.example>\r\n", 1.0)
    assert isinstance(machine.next_event(), Hello)
    assert isinstance(machine.next_event(), StartTls)
    assert machine.backlog_bytes == 0
    machine.receive(b"RSET\r\n", 1.0)
    machine.reply(reply(220, "2.0.0", "Go ahead"), 2.0)
    machine.receive(b"EHLO evil\r\n", 2.0)
    assert machine.next_event() is None
    machine.tls_started()
    assert machine.next_event() is None
    machine.receive(b"EHLO b\r\n", 3.0)
    assert machine.next_event() == Hello("b", extended=True)
    assert b"evil" not in machine.take_output()


def test_a_starttls_cut_in_two_still_discards_what_follows() -> None:
    machine = ServerMachine(SUBMISSION)
    machine.greet(0.0)
    for piece in (b"EHLO a\r\nSTART", b"TLS\r\nEHLO evil\r\n"):
        machine.receive(piece, 1.0)
        while machine.next_event() is not None:
            pass
    machine.reply(reply(220, "2.0.0", "Go ahead"), 2.0)
    machine.tls_started()
    assert machine.next_event() is None
    assert machine.helo == ""


def test_a_refused_starttls_goes_on_in_the_clear() -> None:
    client = Rehearsal(SUBMISSION, {StartTls: reply(454, "4.7.0", "No certificate just now")})
    client.say(HELLO)
    assert client.say("STARTTLS") == f"454 4.7.0 No certificate just now {CODE}\r\n"
    assert client.say("NOOP") == "250 2.0.0 Ok\r\n"


@pytest.mark.parametrize(
    ("settings", "line", "answer"),
    [
        (SUBMISSION, "STARTTLS now", "501 5.5.4 "),
        (ServerSettings("mx.postern.test"), "STARTTLS", "502 5.5.1 STARTTLS is not offered"),
        (SUBMISSION, f"AUTH PLAIN {PLAIN}", "538 5.7.11 Log in only over TLS"),
        (ServerSettings("mx.postern.test"), f"AUTH PLAIN {PLAIN}", "502 5.5.1 AUTH is not offered"),
    ],
)
def test_in_the_clear_there_is_no_login(settings: ServerSettings, line: str, answer: str) -> None:
    client = Rehearsal(settings)
    client.say(HELLO)
    assert client.say(line).startswith(answer)
    assert not any(isinstance(event, Credentials) for event in client.events)


def test_plain_with_an_initial_response() -> None:
    client = secure()
    assert client.say(f"AUTH PLAIN {PLAIN}") == "235 2.7.0 Logged in\r\n"
    assert client.events[-1] == LI
    assert client.machine.authenticated_as == "li@tea.example"
    assert "AUTH" not in client.say(HELLO)


def test_plain_without_an_initial_response() -> None:
    client = secure()
    assert client.say("auth plain") == "334 \r\n"
    assert client.say(PLAIN).startswith("235 ")
    assert client.events[-1] == LI


def test_plain_may_name_whom_to_act_as() -> None:
    client = secure()
    client.say("AUTH PLAIN " + b64encode(b"wei\0li\0s3cret").decode())
    assert client.events[-1] == Credentials("PLAIN", "li", "s3cret", "wei")


@pytest.mark.parametrize("opening", ["AUTH LOGIN", f"AUTH LOGIN {USER}"])
def test_login_asks_for_name_and_password(opening: str) -> None:
    client = secure()
    said = client.say(opening)
    if opening == "AUTH LOGIN":
        assert said == "334 VXNlcm5hbWU6\r\n"
        said = client.say(USER)
    assert said == "334 UGFzc3dvcmQ6\r\n"
    assert client.say(SECRET).startswith("235 ")
    assert client.events[-1] == Credentials("LOGIN", "li@tea.example", "s3cret")


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("AUTH",), "501 5.5.4 Say AUTH PLAIN or AUTH LOGIN"),
        (("AUTH CRAM-MD5",), "504 5.5.4 "),
        (("AUTH PLAIN", "*"), "501 5.7.0 Login cancelled"),
        (("AUTH LOGIN", USER, "*"), "501 5.7.0 Login cancelled"),
        (("AUTH PLAIN !!!",), "501 5.5.2 This is not valid base64"),
        (("AUTH PLAIN YQ",), "501 5.5.2 This is not valid base64"),
        (("AUTH PLAIN YQ==YQ==",), "501 5.5.2 This is not valid base64"),
        (("AUTH PLAIN =",), "501 5.5.2 The login was not well formed"),
        (("AUTH PLAIN YQ==",), "501 5.5.2 The login was not well formed"),
        (("AUTH PLAIN " + b64encode(b"\0li\0").decode(),), "501 5.5.2 The login was not"),
        (("AUTH PLAIN " + b64encode(b"\0\0pw").decode(),), "501 5.5.2 The login was not"),
        (("AUTH PLAIN " + b64encode(b"\0l\r\ni\0pw").decode(),), "501 5.5.2 The login was not"),
        (("AUTH PLAIN " + b64encode(b"\0l\xff\0pw").decode(),), "501 5.5.2 The login was not"),
        (("AUTH PLAIN " + b64encode(b"a\0b\0c\0d").decode(),), "501 5.5.2 The login was not"),
        (("AUTH LOGIN", USER, ""), "501 5.5.2 The login was not well formed"),
        (("AUTH LOGIN", USER, "A" * 12_288), "500 5.5.6 The login is too long"),
    ],
)
def test_a_login_that_fails_says_why_and_the_connection_goes_on(
    lines: tuple[str, ...], answer: str
) -> None:
    client = secure()
    assert client.say_all(*lines)[-1].startswith(answer)
    assert isinstance(client.events[-1], Violation)
    assert client.say("NOOP") == "250 2.0.0 Ok\r\n"
    assert client.machine.authenticated_as is None


def test_a_bare_newline_in_a_login_ends_the_connection() -> None:
    client = secure()
    client.say("AUTH PLAIN")
    client.say(PLAIN.encode() + b"\n")
    assert client.machine.closing


def test_wrong_credentials_are_answered_by_the_session() -> None:
    client = secure()
    client.answers[Credentials] = reply(535, "5.7.8", "Wrong name or password")
    assert client.say(f"AUTH PLAIN {PLAIN}") == f"535 5.7.8 Wrong name or password {CODE}\r\n"
    assert client.machine.authenticated_as is None
    client.answers[Credentials] = reply(235, "2.7.0", "Logged in")
    client.say(f"AUTH PLAIN {PLAIN}")
    assert client.machine.authenticated_as == "li@tea.example"
    assert client.say(f"AUTH PLAIN {PLAIN}").startswith("503 5.5.1 You are already logged in")


def test_the_session_may_name_the_account() -> None:
    client = secure()
    machine = client.machine
    machine.receive(f"AUTH PLAIN {PLAIN}\r\n".encode(), 1.0)
    assert isinstance(machine.next_event(), Credentials)
    machine.authenticated_as = "account-7"
    machine.reply(reply(235, "2.7.0", "Logged in"), 1.0)
    assert machine.authenticated_as == "account-7"


@pytest.mark.parametrize(
    "lines",
    [
        (f"AUTH PLAIN {PLAIN}",),
        (f"auth  plain  {PLAIN}",),
        (f" AUTH PLAIN {PLAIN}",),
        (f"AUTH\tPLAIN {PLAIN}",),
        (f"AUTH {PLAIN}",),
        (f"AUTH PLAIN!{PLAIN}",),
        ("AUTH PLAIN", PLAIN),
        ("AUTH LOGIN", USER, SECRET),
        ("AUTH XOAUTH2", PLAIN, SECRET),
        ("AUTH LOGIN !", USER, SECRET),
    ],
)
@pytest.mark.parametrize("tls_active", [True, False])
def test_no_secret_reaches_the_dialogue_or_an_event_text(
    lines: tuple[str, ...], *, tls_active: bool
) -> None:
    client = Rehearsal(SUBMISSION, tls_active=tls_active)
    client.say_all(HELLO, *lines)
    shown = "\n".join(text for _, _, text in client.machine.dialogue) + repr(client.events)
    for secret in (PLAIN, SECRET, "s3cret"):
        assert secret not in shown
    assert "****" in shown
