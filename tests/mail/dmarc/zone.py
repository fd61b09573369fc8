"""A zone made of TXT records, and inquiries driven to their end against it."""

from typing import Any, TypeVar

from postern.mail.dns import Answer, Inquiry, Question
from postern.runtime.resolver.fake import FakeResolver

T = TypeVar("T")


class Zone(FakeResolver):
    """A fake resolver that is asked without an event loop.

    ``rounds`` holds the names of each round of questions, as they were yielded.
    """

    def __init__(self, **records: str) -> None:
        """Records by domain, dots written as underscores: ``example_com="v=DMARC1"``."""
        super().__init__()
        self.rounds: list[list[str]] = []
        for name, text in records.items():
            self.publish(name.replace("_", "."), text)

    def publish(self, domain: str, *texts: str) -> None:
        """TXT records at the domain's ``_dmarc``; the domain itself exists then."""
        self.add(f"_dmarc.{domain}", "TXT", *texts)

    def run(self, inquiry: Inquiry[T]) -> T:
        """Answer questions until there are no more."""
        try:
            questions = next(inquiry)
            while True:
                assert questions, "an empty round"
                self.rounds.append([question.name for question in questions])
                questions = inquiry.send(tuple(self.ask_now(question) for question in questions))
        except StopIteration as end:
            result: T = end.value
            return result

    def ask_now(self, question: Question) -> Answer:
        """The answer, from a coroutine that never waits."""
        coroutine: Any = self.ask(question)
        try:
            coroutine.send(None)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        raise AssertionError

    @property
    def asked(self) -> list[str]:
        """All names asked for, in order."""
        return [name for names in self.rounds for name in names]
