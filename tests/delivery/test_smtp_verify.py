"""Asking a server about a mailbox: it answers, refuses to be asked, or leaves us in doubt."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.delivery.jobs import job, route, settings, until
from tests.delivery.scripted import OFFERED, Act, Script, peer
from tests.peers.process import free_port

from postern.delivery.smtp import SmtpDelivery
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.outcome import Cause, Deferred, Delivered, Outcome, Refused
from postern.mail.route import Target
from postern.runtime.clock import SystemClock

BOB = Recipient(Address("bob", "peer.test"))
EVE = Recipient(Address("eve", "peer.test"))
WITHOUT_PIPELINING = tuple(word for word in OFFERED if word != "PIPELINING")


@asynccontextmanager
async def delivery(**changes: object) -> AsyncIterator[SmtpDelivery]:
    made = SmtpDelivery(settings(**changes), SystemClock())
    try:
        yield made
    finally:
        await made.close(2)
        assert made.open_connections == 0


def deferral(outcome: Outcome) -> Deferred:
    assert isinstance(outcome, Deferred), outcome
    return outcome


@pytest.mark.parametrize("offered", [OFFERED, WITHOUT_PIPELINING], ids=["pipelined", "in turn"])
async def test_nothing_but_an_envelope_with_the_null_sender_is_sent(
    offered: tuple[str, ...],
) -> None:
    async with peer(Script(offered=offered)) as server, delivery() as smtp:
        outcome = await smtp.verify(route(server.target), BOB)
    assert isinstance(outcome, Delivered)
    assert str(outcome.reply) == "250 2.0.0 ok"
    assert server.commands[1:4] == ["MAIL FROM:<>", "RCPT TO:<bob@peer.test>", "RSET"]
    assert "DATA" not in server.verbs()
    assert server.messages == []


@pytest.mark.parametrize("offered", [OFFERED, WITHOUT_PIPELINING], ids=["pipelined", "in turn"])
async def test_a_refusal_of_the_recipient_is_the_answer(offered: tuple[str, ...]) -> None:
    answers = {"RCPT TO:<eve@peer.test>": "550 5.1.1 nobody"}
    async with peer(Script(offered=offered, answers=answers)) as server, delivery() as smtp:
        outcome = await smtp.verify(route(server.target), EVE)
    assert isinstance(outcome, Refused)
    assert (str(outcome.reply), outcome.cause) == ("550 5.1.1 nobody", Cause.REPLY)


async def test_a_4xx_to_the_recipient_leaves_us_in_doubt() -> None:
    async with peer(Script(answers={"RCPT": "450 4.2.0 wait"})) as server, delivery() as smtp:
        outcome = deferral(await smtp.verify(route(server.target), BOB))
    assert (str(outcome.reply), outcome.cause) == ("450 4.2.0 wait", Cause.REPLY)


@pytest.mark.parametrize("offered", [OFFERED, WITHOUT_PIPELINING], ids=["pipelined", "in turn"])
async def test_a_refusal_of_the_null_sender_says_nothing_of_the_recipient(
    offered: tuple[str, ...],
) -> None:
    answers = {"MAIL": "550 5.1.8 no bounces here", "RCPT": "503 5.5.1 MAIL first"}
    async with peer(Script(offered=offered, answers=answers)) as server, delivery() as smtp:
        outcome = deferral(await smtp.verify(route(server.target), BOB))
    assert str(outcome.reply) == "550 5.1.8 no bounces here"


async def test_questions_and_mail_share_a_connection() -> None:
    answers = {"RCPT TO:<eve@peer.test>": "550 5.1.1 nobody"}
    async with peer(Script(answers=answers)) as server, delivery() as smtp:
        assert isinstance(await smtp.verify(route(server.target), BOB), Delivered)
        assert isinstance(await smtp.verify(route(server.target), EVE), Refused)
        result = await smtp.deliver(route(server.target), job())
        assert isinstance(await smtp.verify(route(server.target), BOB), Delivered)
    assert isinstance(result.outcomes[0], Delivered)
    assert server.connections == 1
    assert len(server.messages) == 1


async def test_the_next_target_is_asked_when_the_first_cannot_be_reached() -> None:
    dead = Target("dead.test", "127.0.0.1", free_port())
    async with peer() as server, delivery() as smtp:
        assert isinstance(await smtp.verify(route(dead, server.target), BOB), Delivered)


async def test_a_server_that_is_down_leaves_us_in_doubt() -> None:
    async with delivery() as smtp:
        down = route(Target("dead.test", "127.0.0.1", free_port()))
        assert deferral(await smtp.verify(down, BOB)).cause is Cause.REFUSED


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    script = Script(answers={"RCPT": Act.SILENCE})
    async with peer(script) as server, delivery(verify_timeout_s=0.3) as smtp:
        began = time.monotonic()
        outcome = deferral(await smtp.verify(route(server.target), BOB))
        assert time.monotonic() - began < 5
        await until(lambda: smtp.open_connections == 0)
    assert outcome.cause is Cause.SILENT
    assert "peer.test could not be asked" in str(outcome.reply)


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET, Act.FLOOD])
async def test_a_server_that_breaks_off_leaves_us_in_doubt(act: Act) -> None:
    async with peer(Script(answers={"RCPT": act})) as server, delivery() as smtp:
        deferral(await smtp.verify(route(server.target), BOB))


async def test_an_answer_stands_even_if_the_session_ends_badly_after_it() -> None:
    script = Script(offered=WITHOUT_PIPELINING, answers={"RSET": "500 5.5.1 what"})
    async with peer(script) as server, delivery() as smtp:
        assert isinstance(await smtp.verify(route(server.target), BOB), Delivered)
        assert isinstance(await smtp.verify(route(server.target), BOB), Delivered)
    assert server.connections == 2


class Mailboxes:
    """An aiosmtpd handler that knows bob alone."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address != "bob@peer.test":
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 yes"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        raise AssertionError("no message is sent to ask")


@contextmanager
def aiosmtpd() -> Iterator[Target]:
    port = free_port()
    controller = Controller(Mailboxes(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield Target("peer.test", "127.0.0.1", port)
    finally:
        controller.stop()


async def test_aiosmtpd_is_asked_about_many_at_once() -> None:
    with aiosmtpd() as target:
        async with delivery() as smtp:
            asked = [BOB, EVE] * 10
            outcomes = await asyncio.gather(*(smtp.verify(route(target), who) for who in asked))
    assert [type(outcome) for outcome in outcomes] == [Delivered, Refused] * 10
