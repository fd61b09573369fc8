"""The client machine, fed by hand: what it sends, and what becomes of each recipient."""

import base64

import pytest

from postern.mail.address import Address
from postern.mail.envelope import BodyType, Notify, Recipient, Ret, Sender
from postern.mail.finding import Whose
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.route import TlsPolicy
from postern.mail.smtp.client import ClientMachine, Want
from postern.mail.smtp.client_auth import Login
from postern.mail.smtp.client_mail import Mail, Octets
from postern.mail.smtp.client_opening import ClientConfig, Stage

REMOTE = "mx.test [192.0.2.1]"
DATA = b"Subject: hello\r\n\r\n.dot\r\nend\r\n"
PLAIN = "250-mx.test\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n"
PIPELINED = "250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n"
CHUNKED = "250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"


def config(**changes: object) -> ClientConfig:
    values: dict[str, object] = {"helo": "us.test", "remote": REMOTE} | changes
    return ClientConfig(**values)  # type: ignore[arg-type]  # a test's shorthand


def ready(ehlo: str = PIPELINED, **changes: object) -> ClientMachine:
    machine = ClientMachine(config(**changes))
    hello = b"LHLO us.test\r\n" if changes.get("lmtp") else b"EHLO us.test\r\n"
    assert machine.receive(b"220 mx.test ESMTP\r\n") == hello
    assert machine.receive(ehlo.encode()) == b""
    assert wants(machine) is Want.MAIL
    return machine


def rcpt(local: str = "bob", **changes: object) -> Recipient:
    return Recipient(Address(local, "mx.test"), **changes)  # type: ignore[arg-type]  # shorthand


def mail(*recipients: Recipient, data: bytes | None = DATA, sender: Sender | None = None) -> Mail:
    return Mail(
        sender or Sender(Address("ann", "us.test")),
        recipients or (rcpt(),),
        len(data) if data is not None else 100,
        data,
    )


def replies(machine: ClientMachine, *lines: str) -> list[bytes]:
    return [machine.receive(f"{line}\r\n".encode()) for line in lines]


def wants(machine: ClientMachine) -> Want:
    return machine.want


def kinds(outcomes: tuple[Outcome, ...]) -> list[type[Outcome]]:
    return [type(outcome) for outcome in outcomes]


def test_pipelined_envelope_is_one_write_and_content_another() -> None:
    machine = ready()
    sent = machine.start(mail(rcpt("bob"), rcpt("eve")))
    assert sent == (
        b"MAIL FROM:<ann@us.test> SIZE=29\r\n"
        b"RCPT TO:<bob@mx.test>\r\nRCPT TO:<eve@mx.test>\r\nDATA\r\n"
    )
    content = machine.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert content == b"Subject: hello\r\n\r\n..dot\r\nend\r\n.\r\n"
    assert machine.receive(b"250 2.0.0 queued as 7\r\n") == b""
    assert wants(machine) is Want.MAIL
    assert kinds(machine.outcomes) == [Delivered, Delivered]
    first = machine.outcomes[0]
    assert first.reply.enhanced == "2.0.0"
    assert first.reply.text == "queued as 7"
    assert first.remote == REMOTE


def test_small_message_is_one_write_where_chunking_is_offered() -> None:
    machine = ready(CHUNKED)
    sent = machine.start(mail())
    assert sent == (
        b"MAIL FROM:<ann@us.test>\r\nRCPT TO:<bob@mx.test>\r\nBDAT %d LAST\r\n" % len(DATA) + DATA
    )
    assert replies(machine, "250 ok", "250 ok", "250 2.0.0 done") == [b"", b"", b""]
    assert kinds(machine.outcomes) == [Delivered]


def test_content_beyond_the_chunk_limit_goes_by_data() -> None:
    machine = ready(CHUNKED, chunk_limit_bytes=10)
    assert machine.start(mail()).endswith(b"DATA\r\n")


def test_peer_without_pipelining_gets_one_command_at_a_time() -> None:
    machine = ready(PLAIN)
    assert machine.start(mail(rcpt("bob"), rcpt("eve"))).startswith(b"MAIL FROM:<ann@us.test>")
    assert replies(machine, "250 ok", "550 5.1.1 nobody", "250 ok")[:3] == [
        b"RCPT TO:<bob@mx.test>\r\n",
        b"RCPT TO:<eve@mx.test>\r\n",
        b"DATA\r\n",
    ]
    assert machine.receive(b"354 go\r\n").endswith(b"\r\n.\r\n")
    machine.receive(b"250 ok\r\n")
    assert kinds(machine.outcomes) == [Refused, Delivered]


def test_replies_may_be_cut_anywhere() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    script = b"250 2.1.0 ok\r\n250-2.1.5 first\r\n250 2.1.5 ok\r\n450 4.2.0 later\r\n354 go\r\n"
    sent = b"".join(machine.receive(script[n : n + 1]) for n in range(len(script)))
    assert sent.endswith(b"\r\n.\r\n")
    for octet in b"250 2.0.0 ok\r\n":
        machine.receive(bytes([octet]))
    assert kinds(machine.outcomes) == [Delivered, Deferred]


def test_old_server_that_refuses_ehlo_is_greeted_with_helo() -> None:
    machine = ClientMachine(config())
    machine.receive(b"220 hi\r\n")
    assert machine.receive(b"502 what\r\n") == b"HELO us.test\r\n"
    machine.receive(b"250 hi\r\n")
    assert wants(machine) is Want.MAIL
    assert machine.start(mail()) == b"MAIL FROM:<ann@us.test>\r\n"


@pytest.mark.parametrize("greeting", ["421 busy", "450 later", "554 5.7.1 go away"])
def test_greeting_that_refuses_defers_and_never_bounces(greeting: str) -> None:
    machine = ClientMachine(config())
    machine.receive(f"{greeting}\r\n".encode())
    assert wants(machine) is Want.CLOSE
    assert machine.failure is not None
    assert machine.failure.cause is Cause.REPLY
    assert str(machine.failure.reply) == greeting


def test_mail_refused_with_pipelined_rest_gives_every_recipient_that_reply() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    assert replies(machine, "550 5.7.1 not you", "503 no", "503 no", "503 no")[-1] == b""
    assert kinds(machine.outcomes) == [Refused, Refused]
    assert {str(o.reply) for o in machine.outcomes} == {"550 5.7.1 not you"}
    assert wants(machine) is Want.MAIL


def test_accepted_recipients_count_for_nothing_once_mail_was_refused() -> None:
    machine = ready()
    machine.start(mail())
    assert replies(machine, "451 later", "250 ok", "354 go")[-1] == b".\r\n"
    machine.receive(b"250 ok, empty message\r\n")
    assert kinds(machine.outcomes) == [Deferred]


def test_all_recipients_refused_and_data_accepted_gets_a_lone_dot() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    sent = replies(machine, "250 ok", "550 5.1.1 no", "452 4.2.2 full", "354 go")
    assert sent[-1] == b".\r\n"
    assert wants(machine) is Want.REPLY
    machine.receive(b"554 no valid recipients\r\n")
    assert wants(machine) is Want.MAIL
    assert kinds(machine.outcomes) == [Refused, Deferred]


def test_lock_step_sends_no_data_when_nobody_was_accepted_and_resets_later() -> None:
    machine = ready(PLAIN)
    machine.start(mail())
    assert replies(machine, "250 ok", "550 5.1.1 no") == [b"RCPT TO:<bob@mx.test>\r\n", b""]
    assert wants(machine) is Want.MAIL
    assert machine.start(mail()) == b"RSET\r\n"
    assert machine.receive(b"250 ok\r\n").startswith(b"MAIL FROM")


def test_data_refused_goes_to_every_accepted_recipient() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve"), rcpt("zoe")))
    replies(machine, "250 ok", "250 ok", "550 5.1.1 no", "250 ok", "451 4.3.0 disk")
    assert [str(o.reply) for o in machine.outcomes] == [
        "451 4.3.0 disk",
        "550 5.1.1 no",
        "451 4.3.0 disk",
    ]
    assert machine.start(mail()).startswith(b"RSET\r\nMAIL")


def test_message_refused_after_the_dot_is_refused_for_all_accepted() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    replies(machine, "250 ok", "250 ok", "250 ok", "354 go", "554 5.6.0 spam")
    assert kinds(machine.outcomes) == [Refused, Refused]


def test_session_carries_one_message_after_another() -> None:
    machine = ready()
    for _ in range(3):
        assert machine.start(mail()).startswith(b"MAIL FROM")
        replies(machine, "250 ok", "250 ok", "354 go", "250 ok")
        assert kinds(machine.outcomes) == [Delivered]
    assert machine.quit() == b"QUIT\r\n"
    assert wants(machine) is Want.CLOSE


def test_lmtp_has_one_reply_per_accepted_recipient() -> None:
    machine = ready(PIPELINED, lmtp=True)
    machine.start(mail(rcpt("bob"), rcpt("eve"), rcpt("zoe")))
    replies(machine, "250 ok", "250 ok", "550 5.1.1 no", "250 ok", "354 go")
    machine.receive(b"250 2.0.0 bob has it\r\n")
    assert machine.outcomes == ()
    machine.receive(b"452 4.2.2 zoe is full\r\n")
    assert kinds(machine.outcomes) == [Delivered, Refused, Deferred]


def test_lmtp_never_uses_chunks() -> None:
    machine = ready(CHUNKED, lmtp=True)
    assert machine.start(mail()).endswith(b"DATA\r\n")


# 421 and lost connections


@pytest.mark.parametrize("answered", range(5))
def test_421_at_any_moment_defers_whoever_has_no_outcome(answered: int) -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    replies(machine, *["250 ok", "550 5.1.1 no", "250 ok", "354 go"][:answered])
    machine.receive(b"421 4.3.2 closing\r\n")
    assert wants(machine) is Want.CLOSE
    bob, eve = machine.outcomes
    assert isinstance(eve, Deferred)
    assert str(eve.reply) == "421 4.3.2 closing"
    assert isinstance(bob, Refused if answered > 1 else Deferred)
    assert machine.answered is (answered > 0)


@pytest.mark.parametrize("answered", range(5))
def test_lost_connection_defers_whoever_has_no_outcome(answered: int) -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    replies(machine, *["250 ok", "550 5.1.1 no", "250 ok", "354 go"][:answered])
    machine.lost(Cause.RESET, "gone")
    bob, eve = machine.outcomes
    assert isinstance(eve, Deferred)
    assert eve.cause is (Cause.LOST_AFTER_DOT if answered > 3 else Cause.RESET)
    assert eve.remote == ""
    assert isinstance(bob, Refused if answered > 1 else Deferred)
    assert machine.answered is (answered > 0)


def test_lost_connection_between_lmtp_replies_keeps_those_that_came() -> None:
    machine = ready(PIPELINED, lmtp=True)
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    replies(machine, "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 bob has it")
    machine.lost(Cause.CLOSED, "gone")
    assert kinds(machine.outcomes) == [Delivered, Deferred]


def test_421_behind_the_last_reply_does_not_take_the_delivery_back() -> None:
    machine = ready()
    machine.start(mail())
    replies(machine, "250 ok", "250 ok", "354 go")
    machine.receive(b"250 2.0.0 ok\r\n421 4.7.0 enough\r\n")
    assert kinds(machine.outcomes) == [Delivered]
    assert wants(machine) is Want.CLOSE


# Peers that do not keep to the protocol


@pytest.mark.parametrize(
    "garbage",
    ["hello", "2500 ok", "250ok", "99 x", "600 x", "\x16\x03\x01", "HTTP/1.1 400", "", "25"],
)
def test_what_is_no_reply_is_a_protocol_error(garbage: str) -> None:
    machine = ready()
    machine.start(mail())
    replies(machine, garbage)
    assert wants(machine) is Want.CLOSE
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.PROTOCOL
    assert REMOTE in outcome.reply.text


def test_endless_line_is_given_up_at_two_kilobytes() -> None:
    machine = ready()
    machine.start(mail())
    machine.receive(b"250 " + b"x" * 2000)
    assert wants(machine) is Want.REPLY
    machine.receive(b"x" * 100)
    assert wants(machine) is Want.CLOSE


def test_line_of_two_kilobytes_is_tolerated() -> None:
    machine = ready()
    machine.start(mail())
    machine.receive(b"550 " + b"x" * 2000 + b"\r\n")
    assert wants(machine) is Want.REPLY


def test_reply_of_a_hundred_lines_is_tolerated_and_one_more_is_not() -> None:
    machine = ready()
    machine.start(mail())
    machine.receive(b"250-x\r\n" * 99 + b"250 x\r\n")
    assert wants(machine) is Want.REPLY
    machine.receive(b"250-x\r\n" * 100)
    assert wants(machine) is Want.CLOSE


def test_reply_to_the_message_before_it_was_sent_is_no_delivery() -> None:
    machine = ready()
    machine.start(mail())
    assert machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 got it\r\n") == b""
    assert kinds(machine.outcomes) == [Deferred]
    assert wants(machine) is Want.CLOSE


def test_positive_reply_in_the_middle_of_the_message_is_no_delivery() -> None:
    machine = ready()
    machine.start(mail(data=None))
    replies(machine, "250 ok", "250 ok", "354 go")
    assert wants(machine) is Want.CONTENT
    machine.content(b"Subject: x\r\n")
    machine.receive(b"250 2.0.0 got it\r\n")
    assert kinds(machine.outcomes) == [Deferred]
    assert machine.content(b"more\r\n") == b""
    assert machine.content_end() == b""


def test_refusal_in_the_middle_of_the_message_counts_and_ends_the_session() -> None:
    machine = ready()
    machine.start(mail(data=None))
    replies(machine, "250 ok", "250 ok", "354 go")
    machine.content(b"Subject: x\r\n")
    machine.receive(b"552 5.3.4 too big\r\n")
    assert kinds(machine.outcomes) == [Refused]
    assert wants(machine) is Want.CLOSE


def test_answers_ahead_of_their_commands_are_not_believed() -> None:
    machine = ready(PLAIN)
    machine.start(mail())
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n")
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.PROTOCOL


def test_peer_that_speaks_unasked_between_messages_is_left() -> None:
    machine = ready()
    machine.receive(b"250 surprise\r\n")
    assert wants(machine) is Want.CLOSE
    assert machine.quit() == b""


@pytest.mark.parametrize("reply", ["250 ok", "334 what", "150 x"])
def test_data_answered_with_anything_but_354_is_no_go_ahead(reply: str) -> None:
    machine = ready()
    machine.start(mail())
    assert replies(machine, "250 ok", "250 ok", reply)[-1] == b""
    assert kinds(machine.outcomes) == [Deferred]


def test_controls_in_a_reply_cannot_leave_their_line() -> None:
    machine = ready()
    machine.start(mail())
    replies(machine, "550 5.1.1 a\rBcc: x\x00\x1b[31m\u202e")
    machine.lost(Cause.CLOSED, "gone")
    assert machine.outcomes[0].reply.text == "a?Bcc: x??[31m?"


# What the peer offers


def test_parameters_are_sent_only_where_they_are_offered() -> None:
    sender = Sender(
        Address("ann", "us.test"), body=BodyType.EIGHT_BIT, ret=Ret.HEADERS, envid="a+b=c"
    )
    recipient = rcpt(notify=Notify.SUCCESS | Notify.DELAY, orcpt="rfc822;b+c@x.test")
    machine = ready("250-x\r\n250-PIPELINING\r\n250-DSN\r\n250-8BITMIME\r\n250 SIZE 0\r\n")
    assert machine.start(mail(recipient, sender=sender)) == (
        b"MAIL FROM:<ann@us.test> SIZE=29 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc\r\n"
        b"RCPT TO:<bob@mx.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@x.test\r\nDATA\r\n"
    )
    bare = ready("250 x\r\n")
    assert bare.start(mail(recipient, sender=sender)) == b"MAIL FROM:<ann@us.test>\r\n"
    assert bare.receive(b"250 ok\r\n") == b"RCPT TO:<bob@mx.test>\r\n"


def test_notify_never_and_null_sender_are_written_as_such() -> None:
    machine = ready("250-x\r\n250-PIPELINING\r\n250 DSN\r\n")
    sent = machine.start(mail(rcpt(notify=Notify.NEVER), sender=Sender(None)))
    assert sent.startswith(b"MAIL FROM:<>\r\nRCPT TO:<bob@mx.test> NOTIFY=NEVER\r\n")


@pytest.mark.parametrize(("dsn", "notify", "owed"), [
    (False, Notify.SUCCESS, True),
    (True, Notify.SUCCESS, False),
    (False, Notify.FAILURE, False),
    (False, None, False),
])  # fmt: skip
def test_success_notice_is_ours_where_the_peer_has_no_dsn(
    dsn: bool,  # noqa: FBT001 - a parameter of the table above
    notify: Notify | None,
    owed: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    machine = ready("250-x\r\n250-PIPELINING\r\n" + ("250 DSN\r\n" if dsn else "250 x\r\n"))
    machine.start(mail(rcpt(notify=notify)))
    replies(machine, "250 ok", "250 ok", "354 go", "250 ok")
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Delivered)
    assert outcome.relayed_without_dsn is owed


def test_message_beyond_the_peers_size_is_refused_without_a_word_sent() -> None:
    machine = ready("250-x\r\n250 SIZE 10\r\n")
    assert machine.start(mail()) == b""
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Refused)
    assert outcome.cause is Cause.NEEDS
    assert outcome.reply.enhanced == "5.3.4"
    assert wants(machine) is Want.MAIL


def test_smtputf8_recipient_alone_is_refused_where_the_peer_lacks_it() -> None:
    machine = ready()
    sent = machine.start(mail(rcpt("bob"), rcpt("zoë")))
    assert b"zo" not in sent
    replies(machine, "250 ok", "250 ok", "354 go", "250 ok")
    bob, zoe = machine.outcomes
    assert isinstance(bob, Delivered)
    assert isinstance(zoe, Refused)
    assert zoe.reply.enhanced == "5.6.7"


def test_smtputf8_sender_is_refused_for_all_where_the_peer_lacks_it() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve"), sender=Sender(Address("zoë", "us.test"))))
    assert [o.reply.enhanced for o in machine.outcomes] == ["5.6.7", "5.6.7"]


def test_smtputf8_asked_for_but_not_needed_goes_out_without_it() -> None:
    machine = ready()
    sender = Sender(Address("ann", "us.test"), smtputf8=True)
    assert machine.start(mail(sender=sender)).startswith(b"MAIL FROM:<ann@us.test> SIZE=29\r\n")
    utf8 = mail(sender=sender, data="Subject: é\r\n\r\nx\r\n".encode())
    other = ready()
    assert other.start(utf8) == b""
    assert other.outcomes[0].reply.enhanced == "5.6.7"


def test_smtputf8_is_declared_where_it_is_offered() -> None:
    machine = ready("250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
    sent = machine.start(mail(rcpt("zoë", notify=None)))
    assert sent == (
        "MAIL FROM:<ann@us.test> SMTPUTF8\r\nRCPT TO:<zoë@mx.test>\r\nDATA\r\n".encode()
    )


@pytest.mark.parametrize(("declared", "refused"), [(True, True), (False, False)])
def test_eight_bit_is_refused_only_when_it_was_declared(
    declared: bool,  # noqa: FBT001 - a parameter of the table above
    refused: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    machine = ready(CHUNKED)
    body = BodyType.EIGHT_BIT if declared else BodyType.SEVEN_BIT
    sender = Sender(Address("ann", "us.test"), body=body)
    sent = machine.start(mail(sender=sender, data="Subject: x\r\n\r\né\r\n".encode()))
    assert (sent == b"") is refused
    if refused:
        assert machine.outcomes[0].reply.enhanced == "5.6.3"
    else:
        assert sent.endswith("é\r\n".encode())


def test_declared_eight_bit_that_is_ascii_goes_anywhere() -> None:
    sender = Sender(Address("ann", "us.test"), body=BodyType.EIGHT_BIT)
    assert ready(CHUNKED).start(mail(sender=sender)) != b""
    streamed = mail(sender=sender, data=None)
    assert ready(CHUNKED).start(streamed) == b""
    looked = Mail(streamed.sender, streamed.recipients, 100, None, Octets(False, False))
    assert ready(CHUNKED).start(looked) != b""


def test_address_with_a_line_end_never_reaches_the_wire() -> None:
    machine = ready()
    sent = machine.start(mail(rcpt("bob"), rcpt("x>\r\nRCPT TO:<eve")))
    assert b"eve" not in sent
    replies(machine, "250 ok", "250 ok", "354 go", "250 ok")
    assert kinds(machine.outcomes) == [Delivered, Refused]
    for sender in (Address("x\r\nDATA", "us.test"), Address("x", "us.test> SIZE=1")):
        assert ready().start(mail(sender=Sender(sender))) == b""


def test_helo_name_with_a_line_end_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="HELO name"):
        config(helo="us.test\r\nQUIT")


# Replies that are not the recipient's fault


def test_552_to_rcpt_means_too_many_recipients_unless_it_says_otherwise() -> None:
    machine = ready()
    machine.start(mail(rcpt("bob"), rcpt("eve")))
    replies(machine, "250 ok", "552 too many recipients", "552 5.2.2 mailbox full", "503 no")
    assert kinds(machine.outcomes) == [Deferred, Refused]


@pytest.mark.parametrize(("text", "seconds"), [
    ("450 4.2.0 Greylisted, try again in 5 minutes", 300.0),
    ("451 4.7.1 Please wait 60 seconds", 60.0),
    ("451 come back after 99999 minutes", 14400.0),
    ("451 later", None),
])  # fmt: skip
def test_wait_that_the_peer_asks_for_is_kept(text: str, seconds: float | None) -> None:
    machine = ready()
    machine.start(mail())
    replies(machine, "250 ok", text, "503 no")
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert outcome.retry_after_s == seconds


def test_530_for_starttls_in_clear_never_bounces() -> None:
    machine = ready(tls=TlsPolicy.NEVER)
    machine.start(mail())
    replies(machine, "530 5.7.0 Must issue a STARTTLS command first", "503 no", "503 no")
    outcome = machine.outcomes[0]
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.TLS


# STARTTLS and AUTH

TLS_OFFERED = "250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"


def greeted(**changes: object) -> ClientMachine:
    machine = ClientMachine(config(**changes))
    machine.receive(b"220 hi\r\n")
    return machine


def test_starttls_forgets_what_was_said_in_clear() -> None:
    machine = greeted()
    assert machine.receive(TLS_OFFERED.encode()) == b"STARTTLS\r\n"
    machine.receive(b"220 go\r\n250-injected\r\n250 SIZE 1\r\n")
    assert wants(machine) is Want.TLS
    assert machine.receive(b"250 injected\r\n") == b""
    assert machine.tls_started() == b"EHLO us.test\r\n"
    assert wants(machine) is Want.REPLY
    machine.receive(b"250-mx.test\r\n250 PIPELINING\r\n")
    assert wants(machine) is Want.MAIL
    assert machine.extensions.size_limit_bytes is None
    assert machine.extensions.pipelining


def test_the_stage_an_opening_came_to_is_remembered() -> None:
    machine = ClientMachine(config())
    assert machine.opened_to is Stage.GREETING
    assert not machine.is_greeted
    machine.receive(b"220 hi\r\n")
    assert machine.is_greeted
    machine.receive(TLS_OFFERED.encode())
    machine.lost(Cause.CLOSED, "gone")
    assert machine.opened_to is Stage.STARTTLS


@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.ENCRYPT, TlsPolicy.VERIFY])
def test_starttls_refused_fails_the_session_so_that_another_address_comes_first(
    policy: TlsPolicy,
) -> None:
    machine = greeted(tls=policy)
    machine.receive(TLS_OFFERED.encode())
    machine.receive(b"454 4.7.0 TLS not available\r\n")
    assert wants(machine) is Want.CLOSE
    assert machine.failure is not None
    assert machine.failure.cause is Cause.TLS


@pytest.mark.parametrize("policy", [TlsPolicy.ENCRYPT, TlsPolicy.VERIFY])
@pytest.mark.parametrize("said", [PLAIN, TLS_OFFERED + "454 4.7.0 no\r\n"])
def test_required_tls_that_cannot_be_had_fails_the_session(policy: TlsPolicy, said: str) -> None:
    machine = greeted(tls=policy)
    head, _, tail = said.partition("454")
    machine.receive(head.encode())
    if tail:
        machine.receive(b"454" + tail.encode())
    assert wants(machine) is Want.CLOSE
    assert machine.failure is not None
    assert machine.failure.cause is (Cause.TLS if tail else Cause.UNENCRYPTED)


def test_password_is_never_sent_in_clear() -> None:
    machine = greeted(login=Login("ann", "secret"), tls=TlsPolicy.NEVER)
    assert machine.receive(TLS_OFFERED.encode()) == b""
    assert machine.failure is not None
    assert machine.failure.cause is Cause.TLS


def encrypted(offer: str, **changes: object) -> ClientMachine:
    machine = greeted(login=Login("ann", "s3cret"), **changes)
    machine.receive(TLS_OFFERED.encode())
    machine.receive(b"220 go\r\n")
    machine.tls_started()
    machine.receive(offer.encode())
    return machine


def test_auth_plain_carries_its_answer_at_once() -> None:
    machine = greeted(login=Login("ann", "s3cret"), clear_auth=True, tls=TlsPolicy.NEVER)
    token = base64.b64encode(b"\0ann\0s3cret")
    assert machine.receive(b"250-x\r\n250 AUTH LOGIN PLAIN\r\n") == b"AUTH PLAIN %b\r\n" % token
    machine.receive(b"235 2.7.0 ok\r\n")
    assert wants(machine) is Want.MAIL


def test_auth_login_answers_two_questions_and_cancels_a_third() -> None:
    machine = greeted(login=Login("ann", "s3cret"), clear_auth=True, tls=TlsPolicy.NEVER)
    assert machine.receive(b"250-x\r\n250 AUTH=LOGIN\r\n") == b"AUTH LOGIN\r\n"
    assert machine.receive(b"334 VXNlcm5hbWU6\r\n") == base64.b64encode(b"ann") + b"\r\n"
    assert machine.receive(b"334\r\n") == base64.b64encode(b"s3cret") + b"\r\n"
    assert machine.receive(b"334 more\r\n") == b"*\r\n"
    machine.receive(b"501 5.7.0 cancelled\r\n")
    assert machine.failure is not None


@pytest.mark.parametrize("reply", ["535 5.7.8 wrong", "454 4.7.0 later", "530 5.7.0 TLS first"])
def test_failed_log_in_defers_and_is_our_affair(reply: str) -> None:
    machine = encrypted("250-x\r\n250 AUTH PLAIN\r\n")
    machine.receive(f"{reply}\r\n".encode())
    assert wants(machine) is Want.CLOSE
    assert machine.failure is not None
    assert machine.failure.cause is Cause.LOCKED_OUT
    assert machine.failure.whose is Whose.US
    assert str(machine.failure.reply) == reply


@pytest.mark.parametrize(
    "reply",
    [
        "530 5.7.0 Authentication required",
        "535 5.7.8 who are you",
        "554 5.7.1 <bob@x.test>: Relay access denied",
        "550 5.7.1 Relaying denied. Proper authentication required",
        "550 relay not permitted",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "550 5.7.1 mail for x.test is not handled here, and you have not signed in",
    ],
)
def test_relay_that_does_not_relay_for_us_never_bounces(reply: str) -> None:
    machine = greeted(relay=True)
    machine.receive(TLS_OFFERED.encode())
    machine.receive(b"220 go\r\n")
    machine.tls_started()
    machine.receive(PIPELINED.encode())
    machine.start(mail())
    replies(machine, "250 ok", reply, "503 no")
    (outcome,) = machine.outcomes
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.whose) == (Cause.LOCKED_OUT, Whose.US)
    assert str(outcome.reply) == reply


@pytest.mark.parametrize(
    ("reply", "relay"),
    [
        ("554 5.7.1 <bob@x.test>: Relay access denied", False),
        ("550 5.1.1 no such user", True),
        ("550 5.1.1 <bob@x.test>: host mx.x.test said: 554 Relay access denied", True),
    ],
)
def test_what_speaks_of_the_recipient_bounces_whoever_says_it(
    reply: str,
    relay: bool,  # noqa: FBT001 - a row of the table
) -> None:
    machine = ready(PIPELINED, relay=relay)
    machine.start(mail())
    replies(machine, "250 ok", reply, "503 no")
    assert kinds(machine.outcomes) == [Refused]


def test_whole_message_sent_to_a_peer_that_never_speaks_may_have_arrived() -> None:
    machine = ready(CHUNKED)
    machine.start(mail())
    machine.lost(Cause.SILENT, "no answer")
    (outcome,) = machine.outcomes
    assert isinstance(outcome, Deferred)
    assert outcome.cause is Cause.LOST_AFTER_DOT
    assert "it may have been taken" in outcome.reply.text


@pytest.mark.parametrize(
    ("reply", "kept"),
    [("421 4.3.2 no", True), ("451 4.7.1 slow down", True), ("550 5.7.1 no", False)],
)
def test_a_4xx_to_mail_is_kept_for_those_who_watch_the_path(
    reply: str,
    kept: bool,  # noqa: FBT001 - a row of the table
) -> None:
    machine = ready(PIPELINED)
    machine.start(mail())
    replies(machine, reply, "503 no", "503 no")
    assert (machine.turned_away is not None) is kept


def test_421_to_rcpt_speaks_of_no_path() -> None:
    machine = ready(PIPELINED)
    machine.start(mail())
    replies(machine, "250 ok", "421 4.7.0 no")
    assert machine.turned_away is None


def test_relay_that_wants_us_logged_in_at_mail_never_bounces() -> None:
    machine = encrypted("250-x\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n")
    machine.receive(b"235 ok\r\n")
    machine.start(mail())
    replies(machine, "530 5.7.0 Authentication required", "503 no", "503 no")
    assert kinds(machine.outcomes) == [Deferred]


def test_relay_without_a_mechanism_we_know_defers() -> None:
    machine = encrypted("250-x\r\n250 AUTH GSSAPI\r\n")
    assert machine.failure is not None
    assert "auth" in machine.failure.reply.text


def test_password_does_not_show() -> None:
    assert "s3cret" not in repr(config(login=Login("ann", "s3cret")))
