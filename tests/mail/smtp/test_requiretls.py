"""REQUIRETLS (RFC 8689): offered and taken under TLS, handed on only to whoever promises it."""

import pytest

from postern.mail.address import Address
from postern.mail.envelope import Recipient, Sender
from postern.mail.outcome import Cause, Delivered, Refused
from postern.mail.route import TlsPolicy
from postern.mail.smtp.client import ClientMachine, Want
from postern.mail.smtp.client_mail import Mail
from postern.mail.smtp.client_opening import ClientConfig
from postern.mail.smtp.events import MailFrom
from postern.mail.smtp.rehearsal import Rehearsal
from postern.mail.smtp.server import ServerSettings

SPEAKS = ServerSettings("mx.postern.test", offer_starttls=True, offer_auth=True)
REQUIRES = Sender(Address("ann", "us.test"), requiretls=True)
PROMISES = "250-mx.test\r\n250-PIPELINING\r\n250 REQUIRETLS\r\n"
PROMISES_NOT = "250-mx.test\r\n250 PIPELINING\r\n"
DATA = b"Subject: hello\r\n\r\nhello\r\n"


def test_it_is_offered_under_tls_only() -> None:
    assert "REQUIRETLS" in Rehearsal(SPEAKS, tls_active=True).say("EHLO client.example")
    assert "REQUIRETLS" not in Rehearsal(SPEAKS).say("EHLO client.example")


def test_its_wish_is_heard_with_the_sender() -> None:
    client = Rehearsal(SPEAKS, tls_active=True)
    client.say("EHLO client.example")
    answer = client.say("MAIL FROM:<ann@us.test> SIZE=10 REQUIRETLS")
    assert answer.startswith("250")
    (heard,) = [event for event in client.events if isinstance(event, MailFrom)]
    assert heard.sender == Sender(Address("ann", "us.test"), 10, requiretls=True)


def test_in_clear_it_is_a_parameter_nobody_offered() -> None:
    client = Rehearsal(SPEAKS)
    client.say("EHLO client.example")
    assert client.say("MAIL FROM:<ann@us.test> REQUIRETLS").startswith("555 5.5.4 ")


def test_it_takes_no_value() -> None:
    client = Rehearsal(SPEAKS, tls_active=True)
    client.say("EHLO client.example")
    assert client.say("MAIL FROM:<ann@us.test> REQUIRETLS=YES").startswith("501 5.5.4 ")


def ready(ehlo: str, tls: TlsPolicy = TlsPolicy.VERIFY, *, lmtp: bool = False) -> ClientMachine:
    """A session under TLS, or for LMTP without, whose peer said ``ehlo``."""
    machine = ClientMachine(ClientConfig("us.test", "mx.test [192.0.2.1]", tls, lmtp))
    machine.receive(b"220 hi\r\n")
    if tls is not TlsPolicy.NEVER:
        machine.receive(b"250-mx.test\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n")
        machine.receive(b"220 go\r\n")
        machine.tls_started()
    machine.receive(ehlo.encode())
    assert machine.want is Want.MAIL
    return machine


def mail(sender: Sender = REQUIRES) -> Mail:
    return Mail(sender, (Recipient(Address("bob", "mx.test")),), len(DATA), DATA)


@pytest.mark.parametrize("tls", [TlsPolicy.VERIFY, TlsPolicy.DANE])
def test_who_promises_and_is_known_for_certain_is_told(tls: TlsPolicy) -> None:
    machine = ready(PROMISES, tls)
    assert machine.start(mail()).startswith(b"MAIL FROM:<ann@us.test> REQUIRETLS\r\n")
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    machine.receive(b"250 ok\r\n")
    assert isinstance(machine.outcomes[0], Delivered)


def test_who_does_not_promise_gets_nothing_and_another_host_may() -> None:
    machine = ready(PROMISES_NOT)
    assert machine.start(mail()) == b""
    (outcome,) = machine.outcomes
    assert isinstance(outcome, Refused)
    assert (outcome.reply.enhanced, outcome.cause) == ("5.7.30", Cause.UNENCRYPTED)
    assert not machine.answered
    assert machine.want is Want.MAIL, "other mail may still go there"


@pytest.mark.parametrize("tls", [TlsPolicy.ENCRYPT, TlsPolicy.OPPORTUNISTIC])
def test_who_is_not_verified_gets_nothing_whatever_it_promises(tls: TlsPolicy) -> None:
    machine = ready(PROMISES, tls)
    assert machine.start(mail()) == b""
    assert machine.outcomes[0].reply.enhanced == "5.7.10"
    assert not machine.answered


def test_a_promise_made_in_clear_is_none() -> None:
    machine = ready(PROMISES, TlsPolicy.NEVER)
    assert not machine.extensions.requiretls
    assert machine.start(mail()) == b""


def test_a_notice_goes_on_without_a_promise_and_asks_where_one_is_made() -> None:
    notice = Sender(None, requiretls=True)
    assert ready(PROMISES_NOT).start(mail(notice)).startswith(b"MAIL FROM:<>\r\n")
    assert ready(PROMISES).start(mail(notice)).startswith(b"MAIL FROM:<> REQUIRETLS\r\n")


def test_the_store_at_the_end_of_the_way_need_not_promise() -> None:
    machine = ready("250-mx.test\r\n250 PIPELINING\r\n", TlsPolicy.NEVER, lmtp=True)
    assert machine.start(mail()).startswith(b"MAIL FROM:<ann@us.test>\r\n")


def test_other_mail_is_not_concerned() -> None:
    plain = Sender(Address("ann", "us.test"))
    assert ready(PROMISES).start(mail(plain)).startswith(b"MAIL FROM:<ann@us.test>\r\n")
