"""Attempts against servers that other people wrote: smtp-sink, aiosmtpd and Postfix."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.delivery.jobs import BODY, Streamed, job, route, settings
from tests.peers.certificates import Authority, self_signed
from tests.peers.postfix import PostfixSettings, postfix
from tests.peers.process import free_port
from tests.peers.sink import smtp_sink

from postern.delivery.smtp import SmtpDelivery
from postern.mail.content import BytesContent
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.route import Egress, Target, TlsPolicy
from postern.runtime.clock import SystemClock


def to(port: int) -> Target:
    return Target("peer.test", "127.0.0.1", port)


@pytest.mark.peers("smtp-sink")
@pytest.mark.parametrize(("options", "outcome", "cause"), [
    ((), Delivered, None),
    (("-p",), Delivered, None),
    (("-e",), Delivered, None),
    (("-P",), Delivered, None),
    (("-8", "-N", "-E"), Delivered, None),
    (("-f", "MAIL"), Refused, Cause.REPLY),
    (("-f", "RCPT"), Refused, Cause.REPLY),
    (("-f", "DATA"), Refused, Cause.REPLY),
    (("-f", "."), Refused, Cause.REPLY),
    (("-r", "MAIL"), Deferred, Cause.REPLY),
    (("-r", "RCPT"), Deferred, Cause.REPLY),
    (("-r", "DATA"), Deferred, Cause.REPLY),
    (("-r", "."), Deferred, Cause.REPLY),
    (("-q", "EHLO"), Deferred, Cause.CLOSED),
    (("-q", "MAIL"), Deferred, None),
    (("-q", "RCPT"), Deferred, None),
    (("-q", "DATA"), Deferred, None),
    (("-q", "."), Deferred, Cause.LOST_AFTER_DOT),
    (("-Q", "EHLO"), Deferred, Cause.REPLY),
    (("-Q", "RCPT"), Deferred, Cause.REPLY),
    (("-Q", "."), Deferred, Cause.REPLY),
    # When it delays, smtp-sink forgets what was pipelined behind.
    (("-p", "-W", "RCPT:1"), Delivered, None),
    (("-p", "-w", "1"), Delivered, None),
])  # fmt: skip
async def test_sink_that_refuses_closes_or_is_slow(
    tmp_path: Path, options: tuple[str, ...], outcome: type[Outcome], cause: Cause | None
) -> None:
    with smtp_sink(*options, log=tmp_path / "log") as sink:
        smtp = SmtpDelivery(settings(), SystemClock())
        result = await smtp.deliver(route(to(sink.port)), job("bob", "eve"))
        await smtp.close(2)
    for each in result.outcomes:
        assert isinstance(each, outcome), each
        if cause is not None:
            assert not isinstance(each, Delivered)
            assert each.cause is cause


@pytest.mark.peers("smtp-sink")
async def test_sink_that_breaks_off_in_the_middle_is_heard(tmp_path: Path) -> None:
    with smtp_sink("-A", "0", log=tmp_path / "log") as sink:
        smtp = SmtpDelivery(settings(), SystemClock())
        content = Streamed((b"y" * 62 + b"\r\n") * 1024, 200)
        result = await smtp.deliver(route(to(sink.port)), job(content=content))
        await smtp.close(2)
    assert isinstance(result.outcomes[0], (Refused, Deferred))


@pytest.mark.peers("smtp-sink")
async def test_sink_takes_many_messages_over_few_connections(tmp_path: Path) -> None:
    with smtp_sink(log=tmp_path / "log") as sink:
        smtp = SmtpDelivery(settings(), SystemClock())
        for _ in range(200):
            result = await smtp.deliver(route(to(sink.port)), job())
            assert isinstance(result.outcomes[0], Delivered)
        assert smtp.open_connections == 1
        await smtp.close(2)
        sink.wait_for(200, within_s=10)


class Keep:
    """Keeps the octets it was given."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.original_content, bytes)
        self.kept.append(envelope.original_content)
        return "250 2.0.0 kept"


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    return AuthResult(success=data == LoginPassword(b"cn1", b"s3cret"), handled=False)


@pytest.mark.parametrize(("password", "outcome"), [("s3cret", Delivered), ("wrong", Deferred)])
async def test_aiosmtpd_lets_us_in_under_tls(
    tmp_path: Path, password: str, outcome: type[Outcome]
) -> None:
    pair = self_signed(tmp_path, "peer.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    handler = Keep()
    port = free_port()
    controller = Controller(
        handler, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True,
        authenticator=authenticate, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        smtp = SmtpDelivery(settings(), SystemClock())
        egress = Egress("us1", username="cn1", password=password)
        way = route(to(port), tls=TlsPolicy.ENCRYPT, egress=egress)
        result = await smtp.deliver(way, job())
        await smtp.close(2)
    finally:
        controller.stop()
    assert isinstance(result.outcomes[0], outcome), result.outcomes[0]
    assert handler.kept == ([BODY] if outcome is Delivered else [])
    assert result.attempts[0].tls.startswith("TLS1.3 ")


@pytest.mark.peers("postfix")
async def test_postfix_gets_every_octet_over_verified_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    peer = PostfixSettings(
        domains=("peer.test",),
        refuse={"eve@peer.test": "550 5.1.1 nobody", "zoe@peer.test": "450 4.2.0 later"},
        certificate=authority.issue("peer.test"),
    )
    smuggled = b"Subject: x\r\n\r\n.\r\n..two\r\n.\nMAIL FROM:<eve@x.test>\n.\r\n"
    with postfix(peer) as server:
        smtp = SmtpDelivery(settings(ca_file=authority.ca), SystemClock())
        way = route(to(server.port), tls=TlsPolicy.VERIFY)
        result = await smtp.deliver(way, job("bob", "eve", "zoe"))
        assert [type(o) for o in result.outcomes] == [Delivered, Refused, Deferred]
        assert {r.tls for r in result.attempts} == {"TLS1.3 TLS_AES_256_GCM_SHA384"}
        await smtp.deliver(way, job("bob", content=BytesContent(smuggled)))
        large = Streamed(b"Subject: y\r\n\r\n" + b"z" * 70 + b"\r\n", 5000)
        result = await smtp.deliver(way, job("bob", content=large))
        assert isinstance(result.outcomes[0], Delivered)
        assert smtp.open_connections == 1
        await smtp.close(2)
        kept = await asyncio.to_thread(server.wait_for_messages, "bob@peer.test", 3)
    assert sum(text.endswith(b"\n\none\n.two\n") for text in kept) == 1
    ended = b"\n\n.\n..two\n.\nMAIL FROM:<eve@x.test>\n.\n"
    assert sum(text.endswith(ended) for text in kept) == 1
