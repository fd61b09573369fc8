"""A story and what it claims: each claim holds or doesn't, with the number that was measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

BEGINS_S = 9 * 3600
"""A story's clock begins at 09:00:00; its seconds are real ones."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of "it works when", and whether it was so."""

    text: str
    holds: bool
    detail: str

    def __str__(self) -> str:
        mark = "ok  " if self.holds else "FAIL"
        return f"{mark} {self.text}" + (f": {self.detail}" if self.detail else "")


def nobody(_: str) -> None:
    """Who listens where nobody looks on."""


@dataclass
class Story:
    """What is claimed and told while a play runs. ``tell`` gets each line, with its time."""

    title: str
    tell: Callable[[str], None] = nobody
    claims: list[Claim] = field(default_factory=list)
    begun_at: float = field(default_factory=time.time)
    log: str = ""
    """What Postern logged, where a claim failed."""

    def say(self, text: str, at: float | None = None) -> None:
        """Tell what happens (at the wall clock's ``at``; now)."""
        self.tell(f"{self.clock(at)}  {text}")

    def clock(self, at: float | None = None) -> str:
        """The time of the story's day, as ``09:00:07``."""
        passed = BEGINS_S + int((time.time() if at is None else at) - self.begun_at)
        return f"{passed // 3600:02}:{passed // 60 % 60:02}:{passed % 60:02}"

    def claim(self, text: str, holds: bool, detail: str = "") -> bool:  # noqa: FBT001 - as assert
        """Put on record whether something holds; the story goes on either way."""
        one = Claim(text, holds, detail)
        self.claims.append(one)
        self.say(f"  {one}")
        return holds

    def within(self, text: str, seconds: float | None, limit_s: float) -> bool:
        """Claim that something took less than ``limit_s``; None: it never happened."""
        if seconds is None:
            return self.claim(text, False, f"it did not happen (limit {limit_s:g} s)")
        return self.claim(text, seconds < limit_s, f"{seconds:.2f} s (limit {limit_s:g} s)")

    @property
    def holds(self) -> bool:
        """Whether every claim held, and there was any."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def verdict(self) -> None:
        """Fail, naming every claim, unless all held."""
        lines = "\n".join(f"  {claim}" for claim in self.claims)
        assert self.holds, f"{self.title}\n{lines}\n{self.log}"


def soon(condition: Callable[[], bool], within_s: float, every_s: float = 0.05) -> float | None:
    """Seconds until ``condition`` held; None if it did not within ``within_s``."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > within_s:
            return None
        time.sleep(every_s)
    return time.monotonic() - begin
