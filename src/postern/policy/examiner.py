"""What is found of a message that has come whole: signatures first, then what rests on them."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter
from postern.policy.panel import Known, run_within
from postern.runtime.clock import Clock

LIMIT_S = 20.0

Scanned = Callable[[], Awaitable[Found]]
"""Waits for what scanners found; they look at the message while the checks do."""


@dataclass(frozen=True, slots=True)
class LetterCheck:
    """One check of whole messages; it is shown what those before it found.

    ``concerns``: whether a message has anything for it at all; to run it costs more than to ask.
    ``weighs``: it rests on what all others found, the scanners too. ``at_once``: as of a ``Check``.
    """

    family: str
    run: Callable[[Letter, Known], Coroutine[Any, Any, Found]]
    limit_s: float = LIMIT_S
    concerns: Callable[[Letter], bool] | None = None
    weighs: bool = False
    at_once: bool = False


async def examine(
    checks: tuple[LetterCheck, ...],
    letter: Letter,
    known: Known,
    clock: Clock,
    scanned: Scanned | None = None,
) -> Known:
    """What is known once all checks have looked, one after the other; none of them is fatal.

    ``scanned`` waits for what scanners that look at the message meanwhile have found.
    """
    for check in checks:
        if check.concerns is not None and not check.concerns(letter):
            continue
        if check.weighs and scanned is not None:
            known, scanned = known.and_then(await scanned()), None
        work = check.run(letter, known)
        found = await run_within(check.family, check.limit_s, clock, work, at_once=check.at_once)
        known = known.and_then(found)
    return known if scanned is None else known.and_then(await scanned())
