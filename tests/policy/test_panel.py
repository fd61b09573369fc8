"""The checks of a conversation: at once, bounded, in order, and never fatal."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from tests.policy.checks.asking import seen, told, zone
from tests.policy.making import address, fail

from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found, Seen
from postern.policy.checks.helo import check_helo
from postern.policy.checks.mailfrom import check_mailfrom
from postern.policy.checks.ptr import check_ptr
from postern.policy.checks.spf import check_spf
from postern.policy.panel import Check, Examination, Known, Stage
from postern.runtime.clock import FakeClock

Run = Callable[[Seen], Coroutine[None, None, Found]]


class Gated:
    """A check that waits until it is let go, and notes what it was shown."""

    def __init__(self, family: str, stage: Stage, limit_s: float = 10.0) -> None:
        self.gate = asyncio.Event()
        self.shown: list[Seen] = []
        self.given_up = 0
        self.check = Check(family, stage, self._run, limit_s)

    async def _run(self, shown: Seen) -> Found:
        self.shown.append(shown)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return Found((fail(f"{self.check.family}.fail"),))


def examine(*checks: Check) -> Examination:
    return Examination(checks, Seen("198.51.100.24", "mx.harbour.example"), FakeClock())


async def turns() -> None:
    """Let everything that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def ids(known: Known) -> list[str]:
    return [finding.check for finding in known.findings]


async def test_checks_begin_when_what_they_look_at_is_known_and_none_waits_for_another() -> None:
    ptr, helo = Gated("ptr", Stage.CONNECT), Gated("helo", Stage.HELO)
    sender = Gated("spf", Stage.MAIL)
    examination = examine(sender.check, helo.check, ptr.check)
    await turns()
    assert (len(ptr.shown), len(helo.shown), len(sender.shown)) == (1, 0, 0)
    examination.hello("mail.tea.example")
    examination.mail(address("li@tea.example"))
    await turns()
    assert helo.shown[0].helo == sender.shown[0].helo == "mail.tea.example"
    assert sender.shown[0].mail_from == address("li@tea.example")
    assert not examination.is_done
    for gated in (sender, helo, ptr):
        gated.gate.set()
    # In the order of the conversation, whichever was ready first.
    assert ids(await examination.known()) == ["ptr.fail", "helo.fail", "spf.fail"]
    assert examination.is_done


async def test_next_transaction_forgets_the_last_ones_sender_and_keeps_the_rest() -> None:
    ptr, sender = Gated("ptr", Stage.CONNECT), Gated("spf", Stage.MAIL)
    ptr.gate.set()
    examination = examine(ptr.check, sender.check)
    examination.hello("mail.tea.example")
    examination.mail(address("li@tea.example"))
    await turns()
    examination.mail(None)
    sender.gate.set()
    assert ids(await examination.known()) == ["ptr.fail", "spf.fail"]
    assert [shown.mail_from for shown in sender.shown] == [address("li@tea.example"), None]
    assert len(ptr.shown) == 1
    await turns()
    assert sender.given_up == 1


async def test_slow_check_is_couldnt_tell_and_holds_up_nobody_else() -> None:
    slow, quick = Gated("ptr", Stage.CONNECT, limit_s=0.0), Gated("helo", Stage.CONNECT)
    quick.gate.set()
    known = await examine(slow.check, quick.check).known()
    assert ids(known) == ["ptr.couldnt-tell", "helo.fail"]
    assert known.findings[0].result is Result.COULDNT_TELL


async def test_bug_in_a_check_is_couldnt_tell_and_no_end_of_the_conversation() -> None:
    async def broken(_: Seen) -> Found:
        raise ZeroDivisionError

    known = await examine(Check("ptr", Stage.CONNECT, broken)).known()
    assert ids(known) == ["ptr.couldnt-tell"]
    assert "ZeroDivisionError" in known.findings[0].text


async def test_end_gives_up_what_runs() -> None:
    slow = Gated("ptr", Stage.CONNECT)
    examination = examine(slow.check)
    await turns()
    waiting = asyncio.ensure_future(examination.known())
    await turns()
    examination.end()
    examination.hello("mail.tea.example")
    examination.mail(None)
    # What nobody found is not "nothing found".
    with pytest.raises(RuntimeError, match="over"):
        await waiting
    await turns()
    assert slow.given_up == 1
    assert len(slow.shown) == 1


async def test_what_begins_while_somebody_waits_is_waited_for_too() -> None:
    ptr, sender = Gated("ptr", Stage.CONNECT), Gated("spf", Stage.MAIL)
    examination = examine(ptr.check, sender.check)
    waiting = asyncio.ensure_future(examination.known())
    await turns()
    examination.mail(None)
    ptr.gate.set()
    await turns()
    sender.gate.set()
    assert ids(await waiting) == ["ptr.fail", "spf.fail"]


async def test_check_that_was_given_up_under_us_is_couldnt_tell() -> None:
    async def cancelled(_: Seen) -> Found:
        raise asyncio.CancelledError

    assert ids(await examine(Check("ptr", Stage.CONNECT, cancelled)).known()) == [
        "ptr.couldnt-tell"
    ]


async def test_seconds_are_those_that_the_check_took() -> None:
    clock = FakeClock()

    async def three_seconds(_: Seen) -> Found:
        clock.advance(3)
        return Found((Finding("ptr.missing", Result.PASS, "fine"),))

    check = Check("ptr", Stage.CONNECT, three_seconds)
    known = await Examination((check,), seen(), clock).known()
    assert [finding.seconds for finding in known.findings] == [3.0]


async def test_real_checks_together_tell_all_there_is_about_a_good_client() -> None:
    dns = zone()

    def of(run: Callable[..., Coroutine[None, None, Found]]) -> Run:
        return lambda shown: run(shown, dns)

    examination = examine(
        Check("ptr", Stage.CONNECT, of(check_ptr)),
        Check("helo", Stage.HELO, of(check_helo)),
        Check("mailfrom", Stage.MAIL, of(check_mailfrom)),
        Check("spf", Stage.MAIL, of(check_spf)),
    )
    examination.hello("mail.tea.example")
    examination.mail(address("li@tea.example"))
    known = await examination.known()
    assert [check for check, _ in told(Found(known.findings))] == [
        "ptr.missing",
        "helo.unresolvable",
        "mailfrom.no-mx",
        "spf.fail",
        "spf.fail",
    ]
    assert all(finding.result is not Result.FAIL for finding in known.findings)
    assert known.ptr == "mail.tea.example"
    assert known.proven == {"tea.example"}
