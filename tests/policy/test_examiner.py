"""Whole messages: checks in turn, scanners meanwhile, and last what rests on them all."""

import pytest
from tests.policy.making import fail

from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter, LetterReader
from postern.policy.examiner import LetterCheck, examine
from postern.policy.panel import Known
from postern.runtime.clock import SystemClock

HEAD = b"From: a@tea.test\r\n\r\n"
SPAM = Found((fail("spam.score"),))


def letter() -> Letter:
    return LetterReader(HEAD, len(HEAD), 0.0).finish()


def checks(seen: list[str]) -> tuple[LetterCheck, ...]:
    async def dkim(_letter: Letter, known: Known) -> Found:
        seen.append(f"dkim after {[one.check for one in known.findings]}")
        return Found((fail("dkim.fail"),))

    async def dmarc(_letter: Letter, known: Known) -> Found:
        seen.append(f"dmarc after {[one.check for one in known.findings]}")
        return Found()

    return LetterCheck("dkim", dkim), LetterCheck("dmarc", dmarc, weighs=True)


async def test_what_weighs_all_is_shown_what_scanners_found_and_the_others_do_not_wait() -> None:
    seen: list[str] = []

    async def scanned() -> Found:
        return SPAM

    known = await examine(checks(seen), letter(), Known(), SystemClock(), scanned)
    assert seen == ["dkim after []", "dmarc after ['dkim.fail', 'spam.score']"]
    assert [one.check for one in known.findings] == ["dkim.fail", "spam.score"]


@pytest.mark.parametrize("count", [0, 1])
async def test_scanners_are_heard_though_nothing_weighs_them(count: int) -> None:
    async def scanned() -> Found:
        return SPAM

    some = checks([])[:count]
    known = await examine(some, letter(), Known(), SystemClock(), scanned)
    assert known.findings[-1].check == "spam.score"


async def test_without_scanners_all_is_as_it_was() -> None:
    seen: list[str] = []
    known = await examine(checks(seen), letter(), Known(), SystemClock())
    assert len(seen) == 2
    assert [one.check for one in known.findings] == ["dkim.fail"]
