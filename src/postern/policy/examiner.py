"""What is found of a message that has come whole: signatures first, then what rests on them."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter
from postern.policy.panel import Known, run_within
from postern.runtime.clock import Clock

LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class LetterCheck:
    """One check of whole messages; it is shown what those before it found.

    ``concerns``: whether a message has anything for it at all; to run it costs more than to ask.
    """

    family: str
    run: Callable[[Letter, Known], Awaitable[Found]]
    limit_s: float = LIMIT_S
    concerns: Callable[[Letter], bool] | None = None


async def examine(
    checks: tuple[LetterCheck, ...], letter: Letter, known: Known, clock: Clock
) -> Known:
    """What is known once all checks have looked, one after the other; none of them is fatal."""
    for check in checks:
        if check.concerns is not None and not check.concerns(letter):
            continue
        run = functools.partial(check.run, letter, known)
        known = known.and_then(await run_within(check.family, check.limit_s, clock, run))
    return known
