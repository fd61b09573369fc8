"""Parameters of MAIL and RCPT, as they arrive in the envelope or are refused."""

import pytest

from postern.mail.address import Address
from postern.mail.envelope import BodyType, Notify, Recipient, Ret, Sender
from postern.mail.smtp.events import MailFrom, RcptTo
from postern.mail.smtp.rehearsal import Rehearsal
from postern.mail.smtp.settings import ServerSettings
from postern.mail.smtp.xtext import decode_unitext, decode_xtext, encode_xtext

LI = Address("li", "tea.example")
WEI = Address("wei", "mill.example")
MAIL = "MAIL FROM:<li@tea.example>"
RCPT = "RCPT TO:<wei@mill.example>"


def introduced(settings: ServerSettings | None = None) -> Rehearsal:
    client = Rehearsal(settings)
    client.say("EHLO client.example")
    return client


@pytest.mark.parametrize(
    ("parameters", "sender"),
    [
        ("", Sender(LI)),
        (" SIZE=1000", Sender(LI, 1000)),
        (" BODY=8BITMIME", Sender(LI, body=BodyType.EIGHT_BIT)),
        (" SIZE=1000 BODY=7BIT", Sender(LI, 1000)),
        ("  body=8bitmime   size=1000 ", Sender(LI, 1000, BodyType.EIGHT_BIT)),
        (" SMTPUTF8", Sender(LI, smtputf8=True)),
        (" RET=HDRS ENVID=QQ+2B314159", Sender(LI, ret=Ret.HEADERS, envid="QQ+314159")),
        (" ret=full", Sender(LI, ret=Ret.FULL)),
        (" AUTH=<>", Sender(LI)),
        (" AUTH=li+40tea.example", Sender(LI)),
        (" PRDR", Sender(LI, prdr=True)),
        (" prdr SIZE=10 SMTPUTF8", Sender(LI, 10, smtputf8=True, prdr=True)),
    ],
)
def test_what_mail_may_say(parameters: str, sender: Sender) -> None:
    client = introduced(ServerSettings("mx.postern.test", prdr=True))
    assert client.say(MAIL + parameters).startswith("250 ")
    assert client.events[-1] == MailFrom(sender)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        (" SIZE", "501 5.5.4 SIZE must be"),
        (" SIZE=", "501 5.5.4 "),
        (" SIZE=-1", "501 5.5.4 SIZE must be"),
        (" SIZE=1e3", "501 5.5.4 SIZE must be"),
        (" SIZE=" + "1" * 21, "501 5.5.4 SIZE must be"),
        (" SIZE=1 SIZE=1", "501 5.5.4 Parameter SIZE was given twice"),
        (" SIZE=1 size=1", "501 5.5.4 Parameter SIZE was given twice"),
        (" BODY=9BIT", "501 5.5.4 BODY must be"),
        (" BODY=BINARYMIME", "555 5.5.4 BODY=BINARYMIME is not supported"),
        (" SMTPUTF8=yes", "501 5.5.4 SMTPUTF8 takes no value"),
        (" RET=SOME", "501 5.5.4 RET must be"),
        (" ENVID=", "501 5.5.4 "),
        (" ENVID=" + "e" * 101, "501 5.5.4 ENVID must be"),
        (" ENVID=a+0D+0AX-Evil:", "501 5.5.4 ENVID must be"),
        (" ENVID=+C3+A9", "501 5.5.4 ENVID must be"),
        (" ENVID=a+b", "501 5.5.4 ENVID must be"),
        (" AUTH=nobody", "501 5.5.4 AUTH must be"),
        (" NOTIFY=NEVER", "555 5.5.4 Parameter NOTIFY is not supported"),
        (" FROB=1", "555 5.5.4 Parameter FROB is not supported"),
        (" PRDR", "555 5.5.4 Parameter PRDR is not supported"),
        (" =1", "501 5.5.4 A parameter is not well formed"),
        (" SIZE=1\tBODY=7BIT\x00", "501 5.5.4 "),
        ("SIZE=1", "501 5.1.7 "),
    ],
)
def test_what_mail_may_not_say(parameters: str, answer: str) -> None:
    client = introduced()
    assert client.say(MAIL + parameters).startswith(answer)
    assert not any(isinstance(event, MailFrom) for event in client.events)


@pytest.mark.parametrize(
    ("parameters", "recipient"),
    [
        (" NOTIFY=NEVER", Recipient(WEI, Notify.NEVER)),
        (" NOTIFY=success,Delay", Recipient(WEI, Notify.SUCCESS | Notify.DELAY)),
        (
            " ORCPT=rfc822;Wei+2BNews+40mill.example",
            Recipient(WEI, orcpt="rfc822;Wei+News@mill.example"),
        ),
        (" ORCPT=utf-8;w\\x{E9}i@mill.example", Recipient(WEI, orcpt="utf-8;wéi@mill.example")),
        (" NOTIFY=FAILURE ORCPT=x-old;7", Recipient(WEI, Notify.FAILURE, "x-old;7")),
    ],
)
def test_what_rcpt_may_say(parameters: str, recipient: Recipient) -> None:
    client = introduced()
    client.say(MAIL)
    assert client.say(RCPT + parameters).startswith("250 ")
    assert client.events[-1] == RcptTo(recipient)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        (" NOTIFY", "501 5.5.4 NOTIFY must be"),
        (" NOTIFY=", "501 5.5.4 "),
        (" NOTIFY=NEVER,FAILURE", "501 5.5.4 NOTIFY must be"),
        (" NOTIFY=FAILURE,NEVER", "501 5.5.4 NOTIFY must be"),
        (" NOTIFY=FAILURE,FAILURE", "501 5.5.4 NOTIFY must be"),
        (" NOTIFY=FAILURE,", "501 5.5.4 NOTIFY must be"),
        (" NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4 Parameter NOTIFY was given twice"),
        (" ORCPT=wei@mill.example", "501 5.5.4 ORCPT must be"),
        (" ORCPT=rfc822;", "501 5.5.4 ORCPT must be"),
        (" ORCPT=;wei", "501 5.5.4 ORCPT must be"),
        (" ORCPT=rfc822;wei+0D+0ABcc:", "501 5.5.4 ORCPT must be"),
        (" ORCPT=utf-8;\\x{D800}", "501 5.5.4 ORCPT must be"),
        (" ORCPT=utf-8;\\x{A}", "501 5.5.4 ORCPT must be"),
        (" ORCPT=utf-8;\\x{FFFFFF}", "501 5.5.4 ORCPT must be"),
        (" ORCPT=rfc822;" + "w" * 501, "501 5.5.4 ORCPT must be"),
        (" ORCPT=utf-8;wéi@mill.example", "501 5.5.4 These parameters need SMTPUTF8"),
        (" SIZE=1", "555 5.5.4 Parameter SIZE is not supported"),
    ],
)
def test_what_rcpt_may_not_say(parameters: str, answer: str) -> None:
    client = introduced()
    client.say(MAIL)
    assert client.say(RCPT + parameters).startswith(answer)
    assert not any(isinstance(event, RcptTo) for event in client.events)


def test_international_addresses_need_smtputf8_at_mail() -> None:
    client = introduced()
    assert client.say("MAIL FROM:<李@tea.example>").startswith("553 5.6.7 ")
    assert client.say("MAIL FROM:<li@bücher.example>").startswith("553 5.6.7 ")
    assert client.say("MAIL FROM:<李@tea.example> SMTPUTF8").startswith("250 ")
    assert client.say("RCPT TO:<wei@bücher.example> ORCPT=utf-8;wéi@x").startswith("250 ")
    client.say_all("RSET", MAIL)
    assert client.say("RCPT TO:<wei@bücher.example>").startswith("553 5.6.7 ")


def test_smtputf8_is_refused_where_it_is_not_offered() -> None:
    client = introduced(ServerSettings("mx.postern.test", smtputf8=False))
    assert client.say(f"{MAIL} SMTPUTF8").startswith("555 5.5.4 Parameter SMTPUTF8")
    assert client.say("MAIL FROM:<李@tea.example>").startswith("553 5.6.7 ")


@pytest.mark.parametrize("text", ["", "plain", "a+b=c d", "wéi", "\\x{41}"])
def test_xtext_comes_back(text: str) -> None:
    encoded = encode_xtext(text)
    assert encoded.isascii()
    assert not set(encoded) & set(" =")
    assert decode_xtext(encoded) == text


@pytest.mark.parametrize("text", ["a b", "a=b", "a+4", "a+4g", "a+e9", "é", "+0A", "+00", "+FF"])
def test_what_is_not_xtext_is_refused(text: str) -> None:
    assert decode_xtext(text) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [("w\\x{E9}i", "wéi"), ("wéi", "wéi"), ("\\x{1F4EE}", "📮"), ("\\x{}", None), ("a+b", None)],
)
def test_international_xtext(text: str, plain: str | None) -> None:
    assert decode_unitext(text) == plain
