"""What customers' servers say is asked once, kept for its time, and outlives their silence."""

import asyncio

import pytest
from tests.reception.rig import Gate

from postern.directory.resolution import Gateway
from postern.mail.address import Address
from postern.mail.envelope import Recipient
from postern.mail.finding import Effect
from postern.mail.outcome import Cause, Outcome, Refused
from postern.mail.reply import Reply, reply
from postern.mail.route import MaildirRoute, Route, SmtpRoute
from postern.reception import callahead
from postern.reception.callahead import CallAhead
from postern.runtime.clock import FakeClock

GATEWAY = Gateway("gate.example", "gate.example", 25)


def address(local: str) -> Address:
    return Address(local, "gate.example")


class Asker:
    """A call-ahead with its customer's server, as reception uses it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.clock = FakeClock()
        self.ahead = CallAhead(self.gate, self.gate, self.clock)

    async def effect(self, local: str) -> Effect:
        verdict = self.ahead.cached(GATEWAY, address(local))
        if verdict is None:
            verdict = await self.ahead.ask(GATEWAY, address(local))
        return verdict.effect


async def test_yes_holds_for_an_hour() -> None:
    asker = Asker()
    assert await asker.effect("known") is Effect.ACCEPT
    asker.clock.advance(3599)
    assert await asker.effect("known") is Effect.ACCEPT
    assert asker.gate.asked == ["known"]
    asker.clock.advance(2)
    await asker.effect("known")
    assert asker.gate.asked == ["known", "known"]


async def test_no_holds_for_ten_minutes() -> None:
    asker = Asker()
    assert await asker.effect("new") is Effect.REFUSE
    asker.gate.known.add("new")
    asker.clock.advance(599)
    assert await asker.effect("new") is Effect.REFUSE
    asker.clock.advance(2)
    assert await asker.effect("new") is Effect.ACCEPT


async def test_known_recipient_goes_on_while_its_server_is_down_and_others_wait() -> None:
    asker = Asker()
    await asker.effect("known")
    asker.gate.is_down = True
    asker.clock.advance(3700)
    assert await asker.effect("known") is Effect.ACCEPT
    assert await asker.effect("stranger") is Effect.REFUSE_FOR_NOW
    # A server that is silent is left alone for a while, whoever is asked for.
    assert asker.gate.asked == ["known", "known"]
    asker.gate.is_down = False
    asker.clock.advance(21)
    assert await asker.effect("stranger") is Effect.REFUSE


async def test_a_yes_of_last_week_is_too_old_to_rely_on() -> None:
    asker = Asker()
    await asker.effect("known")
    asker.gate.is_down = True
    asker.clock.advance(7 * 86_400 + 1)
    assert await asker.effect("known") is Effect.REFUSE_FOR_NOW


async def test_all_who_ask_the_same_at_once_are_one_question() -> None:
    asker = Asker()
    asker.gate.open.clear()
    asking = [asyncio.ensure_future(asker.effect("known")) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    asking[0].cancel()
    asker.gate.open.set()
    answers = await asyncio.gather(*asking[1:])
    assert answers == [Effect.ACCEPT] * 49
    assert asker.gate.asked == ["known"]


async def test_questions_under_way_and_answers_kept_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callahead, "MAX_ASKING", 2)
    monkeypatch.setattr(callahead, "MAX_UNKNOWN", 3)
    asker = Asker()
    asker.gate.open.clear()
    asking = [asyncio.ensure_future(asker.effect(f"x{n}")) for n in range(2)]
    await asyncio.sleep(0)
    assert await asker.effect("x3") is Effect.REFUSE_FOR_NOW
    asker.gate.open.set()
    await asyncio.gather(*asking)
    await asker.effect("known")
    for n in range(10):
        await asker.effect(f"y{n}")
    assert len(asker.ahead._unknown) == 3
    asked = len(asker.gate.asked)
    assert await asker.effect("known") is Effect.ACCEPT
    assert len(asker.gate.asked) == asked


@pytest.mark.parametrize("said", [reply(550, "5.7.1", "You are blocked"), reply(552, "5.2.2", "")])
async def test_refusal_that_is_not_about_the_recipient_is_no_no(
    monkeypatch: pytest.MonkeyPatch, said: Reply
) -> None:
    asker = Asker()

    async def verify(route: SmtpRoute, recipient: Recipient) -> Outcome:
        return Refused(said, Cause.REPLY, "gate.example")

    monkeypatch.setattr(asker.gate, "verify", verify)
    assert await asker.effect("known") is Effect.REFUSE_FOR_NOW


async def test_gateway_that_was_taken_away_meanwhile_is_couldnt_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asker = Asker()

    async def route(address: Address, via: str | None = None) -> Route:
        return MaildirRoute("local", "gate.example/known")

    monkeypatch.setattr(asker.gate, "route", route)
    assert await asker.effect("known") is Effect.REFUSE_FOR_NOW
