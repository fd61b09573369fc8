"""Who answered a check's questions, so that its findings say from where they were seen."""

from dataclasses import replace

from postern.mail.dns import Answer, Question
from postern.policy.checks.check import Found
from postern.runtime.resolver.lookup import Lookup


class Asked:
    """A ``Lookup`` for one run of one check; it remembers who answered in home's place."""

    __slots__ = ("_elsewhere", "_lookup")

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._elsewhere: dict[str, None] = {}

    @property
    def home(self) -> str:
        """Name of the resolver that is asked first."""
        return self._lookup.home

    def cached(self, question: Question, *, foreign_ok: bool = True) -> Answer | None:
        """As the real one."""
        answer = self._lookup.cached(question, foreign_ok=foreign_ok)
        return answer if answer is None else self._noted(answer)

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        """As the real one."""
        return self._noted(await self._lookup.ask(question, foreign_ok=foreign_ok))

    async def confirm(self, answer: Answer) -> Answer:
        """As the real one."""
        return self._noted(await self._lookup.confirm(answer))

    def placed(self, found: Found) -> Found:
        """What was found, with the place it was seen from where that is not home."""
        if not self._elsewhere:
            return found
        place = ", ".join(self._elsewhere)
        findings = (one if one.place else replace(one, place=place) for one in found.findings)
        return replace(found, findings=tuple(findings))

    def _noted(self, answer: Answer) -> Answer:
        if answer.resolver and answer.resolver != self._lookup.home and answer.status.is_known:
            self._elsewhere[answer.resolver] = None
        return answer
