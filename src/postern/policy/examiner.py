"""What is found of a message that has come whole: signatures first, then what rests on them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from postern.policy.checks.check import Found
from postern.policy.checks.letter import Letter
from postern.policy.panel import Known, run_within
from postern.runtime.clock import Clock

LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class LetterCheck:
    """One check of whole messages; it is shown what those before it found.

    ``at_once``: as of a ``Check``.
    """

    family: str
    run: Callable[[Letter, Known], Coroutine[Any, Any, Found]]
    limit_s: float = LIMIT_S
    at_once: bool = False


async def examine(
    checks: tuple[LetterCheck, ...], letter: Letter, known: Known, clock: Clock
) -> Known:
    """What is known once all checks have looked, one after the other; none of them is fatal."""
    for check in checks:
        work = check.run(letter, known)
        found = await run_within(check.family, check.limit_s, clock, work, at_once=check.at_once)
        known = known.and_then(found)
    return known
