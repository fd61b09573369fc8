"""A resolver that answers from a table: for our tests and for those of users."""

from collections.abc import Iterable

from postern.mail.dns import Answer, Question, Status
from postern.runtime.resolver.second import weigh


class FakeResolver:
    """A ``Lookup`` without a network.

    A name that was never added does not exist; a name added with another type has no such data.
    ``queries`` holds every question asked, in order.
    """

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self._answers = {answer.question: answer for answer in answers}
        self._kept: set[Question] = set()
        self._seconds: dict[Question, Answer] = {}
        self._outage: Status | None = None
        self.home = "fake"
        self.queries: list[Question] = []

    def add(
        self,
        name: str,
        type_: str,
        *records: str,
        status: Status = Status.OK,
        ttl_s: int = 300,
        secure: bool = False,
        canonical: str = "",
    ) -> None:
        """Answer so from now on: ``add("tea.example", "MX", "10 mx.tea.example")``.

        With a status that couldn't tell, ``ttl_s`` becomes 0 as it would be in truth.
        """
        question = Question.of(name, type_)
        ttl_s = ttl_s if status.is_known else 0
        self._answers[question] = Answer(
            question, status, records, ttl_s, secure, "fake", canonical=canonical
        )
        self._kept.discard(question)

    def add_second(self, name: str, type_: str, *records: str, status: Status = Status.OK) -> None:
        """What a second resolver, ``second``, says when it is asked to confirm."""
        question = Question.of(name, type_)
        ttl_s = 300 if status.is_known else 0
        self._seconds[question] = Answer(question, status, records, ttl_s, resolver="second")

    def fail(self, name: str, type_: str) -> None:
        """The servers say SERVFAIL to this question."""
        self.add(name, type_, status=Status.SERVER_FAILURE)

    def time_out(self, name: str, type_: str) -> None:
        """Nobody answers this question."""
        self.add(name, type_, status=Status.TIMEOUT)

    def fail_all(self, status: Status | None = Status.TIMEOUT) -> None:
        """Every question ends like this; None ends the outage."""
        self._outage = status
        self._kept.clear()

    def cached(self, question: Question, *, foreign_ok: bool = True) -> Answer | None:
        """The answer if this question was asked before, else None."""
        del foreign_ok
        return self._answer(question) if question in self._kept else None

    def forget(self, question: Question) -> None:
        """It has to be asked again."""
        self._kept.discard(question)

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        """The answer of the table, at once; as from home: silence, where that is another's name."""
        self.queries.append(question)
        answer = self._answer(question)
        if not foreign_ok and answer.resolver != self.home:
            return Answer(question, Status.TIMEOUT, resolver=self.home)
        if answer.ttl_s > 0:
            self._kept.add(question)
        return answer

    async def confirm(self, answer: Answer) -> Answer:
        """What ``add_second`` said, weighed as in truth; without it there is no second."""
        second = self._seconds.get(answer.question)
        if second is None or not answer.is_negative:
            return answer
        return weigh(answer, second)

    def _answer(self, question: Question) -> Answer:
        if self._outage is not None:
            return Answer(question, self._outage, resolver="fake")
        known = self._answers.get(question)
        if known is not None:
            return known
        exists = any(other.name == question.name for other in self._answers)
        status = Status.NO_DATA if exists else Status.NO_NAME
        return Answer(question, status, ttl_s=60, resolver="fake")
