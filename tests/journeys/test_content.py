"""Attachments and the form of messages, from a real client to a live server: what is refused says
why, and what is only noted is delivered and told."""

import socket
from collections.abc import Iterator

import pytest
from tests.journeys.told import Conversation, code_in, traced, wait_state
from tests.mail.mime.making import PROGRAM, attached, encrypted, mixed, text, zipped
from tests.peers.dns import NsdServer
from tests.peers.postern_server import Listening, PosternServer, PosternSettings, postern
from tests.peers.swaks import Exchange, proxied, swaks

pytestmark = pytest.mark.peers("swaks", "nsd")

CLIENT = "198.51.100.24"
ZONES = {
    "tea.test": '@ MX 10 mail\nmail A 198.51.100.24\n@ TXT "v=spf1 ip4:198.51.100.24 -all"',
    "100.51.198.in-addr.arpa": "24 PTR mail.tea.test.",
}
HEAD = (
    b"From: Chen <chen@tea.test>\r\nTo: wang@here.test\r\nSubject: papers\r\n"
    b"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@tea.test>\r\nMIME-Version: 1.0\r\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PosternServer]:
    with NsdServer(ZONES) as dns:
        settings = PosternSettings(
            listeners=(Listening("mx", extra='proxy_protocol = ["127.0.0.0/8"]'),),
            resolver=dns.address,
        )
        with postern(settings) as running:
            running.domain_add("here.test")
            running.mailbox_add("wang@here.test")
            yield running


def send(server: PosternServer, message: bytes) -> Exchange:
    options = proxied(CLIENT)
    return swaks(
        server.port(),
        sender="chen@tea.test",
        to="wang@here.test",
        options=options,
        message=HEAD + message,
    )


def refused(server: PosternServer, message: bytes) -> tuple[str, Conversation]:
    """The first line of the refusal, and what is told of it."""
    exchange = send(server, message)
    replies = exchange.replies("550")
    assert replies, exchange.transcript
    told = traced(server, code_in(replies[-1]))
    assert told.states() == {"wang@here.test": "refused"}
    return replies[0], told


def taken(server: PosternServer, message: bytes) -> dict[str, tuple[str, str]]:
    """Result and text of each step of a message that is delivered."""
    exchange = send(server, message)
    assert exchange.accepted, exchange.transcript
    told = wait_state(server, code_in(exchange.reply_to(".")), wang="delivered")
    return {step.step: (step.result, step.text) for step in told.steps}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (attached(b"x", "invoice.pdf.exe"), 'the attachment "invoice.pdf.exe" is a program'),
        (attached(PROGRAM, "invoice.pdf"), 'the attachment "invoice.pdf" is a Windows program'),
        (b"Content-Type: application/hta\r\n\r\nx", "(application/hta)"),
        (
            attached(zipped({"a.exe": b"x"}), "a.zip"),
            '"a.exe" in the attachment "a.zip" is a program',
        ),
        (
            attached(zipped({"in.zip": zipped({"a.exe": b"x"})}), "a.zip"),
            '"a.exe" in the attachment "a.zip" is a program',
        ),
        (
            attached(encrypted(zipped({"a.exe": b"x"})), "a.zip"),
            '"a.exe" in the attachment "a.zip" is a program',
        ),
    ],
    ids=["name", "octets", "type", "in-zip", "zip-in-zip", "encrypted-zip"],
)
def test_attachments_that_are_not_taken_are_refused_by_name(
    server: PosternServer, part: bytes, words: str
) -> None:
    reply, told = refused(server, mixed(text(), part))
    assert reply.startswith("550-5.7.1 Not accepted: ")
    assert words in reply
    assert told.because is not None
    assert (told.because.check, told.because.whose) == ("content.attachment", "sender")
    assert words in told.because.text


def test_an_encrypted_zip_is_delivered_and_noted(server: PosternServer) -> None:
    steps = taken(server, mixed(text(), attached(encrypted(zipped({"a.txt": b"x"})), "a.zip")))
    assert steps["content.attachment"][0] == "note"
    assert steps["content.attachment"][1].startswith('the attachment "a.zip" is encrypted')


def test_what_can_not_be_looked_into_is_delivered_and_told(server: PosternServer) -> None:
    squeezed = attached(b"-\x00-lh5-" + bytes(900), "a.lzh")
    steps = taken(server, mixed(text(), squeezed))
    assert steps["content.couldnt-tell"][0] == "couldnt-tell"


def test_what_one_domain_takes_is_a_setting(server: PosternServer) -> None:
    message = mixed(text(), attached(b"x", "a.exe"))
    words = ("rule", "system", "content.attachment")
    server.cli(*words, "note", "--domain", "here.test")
    assert taken(server, message)["content.attachment"][0] == "fail"
    server.cli(*words, "refuse", "--domain", "here.test")
    refused(server, message)


def test_two_from_lines_and_two_boundaries_are_refused(server: PosternServer) -> None:
    reply, told = refused(server, b"From: b@tea.test\r\n\r\nHello\r\n")
    assert reply.startswith("550-5.6.0 Not accepted: the message has 2 From lines")
    assert told.because is not None
    assert told.because.check == "standards.header"
    twice = mixed(text(), header="Content-Type: multipart/mixed; boundary=b; boundary=c\r\n")
    reply, told = refused(server, twice)
    assert reply.startswith("550-5.6.0 Not accepted: it names two boundaries")


def test_odd_but_honest_mail_is_delivered_and_noted(server: PosternServer) -> None:
    body = b"Subject: twice\r\n" + mixed(text()).removesuffix(b"--b--\r\n") + b"x" * 1200 + b"\r\n"
    steps = taken(server, body)
    assert steps["standards.header"][0] == "note"
    assert steps["standards.long-line"][0] == "fail"
    assert "998 octets" in steps["standards.long-line"][1]


def test_a_bare_line_feed_is_refused(server: PosternServer) -> None:
    said = (
        f"PROXY TCP4 {CLIENT} 192.0.2.1 4242 25\r\nEHLO mail.tea.test\r\n"
        "MAIL FROM:<chen@tea.test>\r\nRCPT TO:<wang@here.test>\r\nDATA\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as client:
        client.sendall(said.encode())
        answers = client.makefile("rb")
        for line in answers:
            if line.startswith(b"354"):
                break
        client.sendall(HEAD + b"\r\none\ntwo\r\n.\r\n")
        reply = answers.readline().decode()
    assert reply.startswith("5"), reply
    told = traced(server, code_in(reply))
    assert told.because is not None
    assert told.because.check == "standards.bare-lf"
