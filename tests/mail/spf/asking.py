"""Drives an inquiry with a FakeResolver, without an event loop."""

from postern.mail.dns import Answer, Inquiry, Question
from postern.mail.spf.evaluate import check_host
from postern.mail.spf.result import SpfResult
from postern.runtime.resolver.fake import FakeResolver

NOW = 1_780_000_000.0
RECEIVER = "mx.postern.test"


def ask(resolver: FakeResolver, question: Question) -> Answer:
    """The resolver's answer; it never waits."""
    asking = resolver.ask(question)
    try:
        asking.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    raise AssertionError("a FakeResolver does not wait")


def drive(inquiry: Inquiry[SpfResult], resolver: FakeResolver) -> SpfResult:
    """Answer all questions of an inquiry; what is asked at once must be several, and different."""
    try:
        questions = next(inquiry)
        while True:
            assert questions
            assert len(set(questions)) == len(questions)
            questions = inquiry.send(tuple(ask(resolver, question) for question in questions))
    except StopIteration as done:
        result: SpfResult = done.value
        return result


def check(
    resolver: FakeResolver, ip: str, sender: str, helo: str = "client.test", domain: str = ""
) -> SpfResult:
    """``check_host`` for the domain of ``sender``."""
    domain = domain or sender.rpartition("@")[2]
    inquiry = check_host(ip, domain, sender, helo, receiver=RECEIVER, now=NOW)
    return drive(inquiry, resolver)
