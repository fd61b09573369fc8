"""What a check is given and what it gives back, and how it asks DNS.

To add a check: write a module here whose docstring says what it looks at and after which source,
with one function ``async def check_NAME(seen: Seen, lookup: Lookup) -> Found``. It asks every
question that it can ask at once (``ask_all``), tells NXDOMAIN, no data, failure and silence apart,
and says "couldn't tell" with ``couldnt_tell``; its ids go into ``policy/rules/rule.py`` with how
they are treated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from postern.mail.address import Address
from postern.mail.authres.results import MethodResult
from postern.mail.dmarc.alignment import Identifier
from postern.mail.dns import Answer, Inquiry, Question, Status
from postern.mail.finding import Finding, Result, Whose
from postern.runtime.eager import together
from postern.runtime.resolver.lookup import Lookup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client has shown so far.

    ``ip`` in its one spelling: an IPv4 address is written as one, whatever socket it came by.
    ``mail_from`` None is the null sender. ``hostname`` is our own name, ``at`` seconds since 1970.
    """

    ip: str
    hostname: str
    helo: str = ""
    mail_from: Address | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found; ``ptr`` and ``proven`` are facts that rules can be about.

    Attributes:
        findings: in the order they were found; a pass is a finding too, for whoever reads it later.
        ptr: the client's name in reverse DNS, confirmed; empty where it has none.
        proven: domains that the client was shown to speak for.
        identifiers: what DMARC compares with the author's domain.
        results: what is reported in Authentication-Results.
        sealer: who sealed the message's ARC chain last, where the chain holds; empty: nobody.
        waits: checks whose fail refuses nobody before the whole message is there.
    """

    findings: tuple[Finding, ...] = ()
    ptr: str = ""
    proven: frozenset[str] = frozenset()
    identifiers: tuple[Identifier, ...] = ()
    results: tuple[MethodResult, ...] = ()
    sealer: str = ""
    waits: frozenset[str] = frozenset()

    def taking(self, seconds: float) -> "Found":
        """The same, found in so many seconds."""
        return Found(
            tuple([one.taking(seconds) for one in self.findings]),
            self.ptr,
            self.proven,
            self.identifiers,
            self.results,
            self.sealer,
            self.waits,
        )


async def ask_all(
    lookup: Lookup, questions: Iterable[Question], *, foreign_ok: bool = True
) -> Sequence[Answer]:
    """The answers to all, asked at the same time, in the order of the questions."""
    return await together(lookup.ask(one, foreign_ok=foreign_ok) for one in questions)


async def confirm_all(lookup: Lookup, answers: Iterable[Answer]) -> Sequence[Answer]:
    """What stands of all of them once those that say "nothing there" were asked for elsewhere."""
    return await together(lookup.confirm(answer) for answer in answers)


async def conduct(inquiry: Inquiry[T], lookup: Lookup) -> T:
    """Run an inquiry to its end with real answers."""
    try:
        questions = next(inquiry)
        while True:
            questions = inquiry.send(tuple(await ask_all(lookup, questions)))
    except StopIteration as end:
        result: T = end.value
        return result


def passed(check: str, text: str) -> Found:
    """Nothing to say against it."""
    return Found((Finding(check, Result.PASS, text),))


def denied(answers: Iterable[Answer]) -> str:
    """``; home found nothing there`` where resolvers do not agree, to be put behind a text."""
    names = dict.fromkeys(answer.denied_by for answer in answers if answer.denied_by)
    return f"; {', '.join(names)} found nothing there" if names else ""


def failed(check: str, text: str, whose: Whose = Whose.SENDER) -> Found:
    """A fact that speaks against it; ``text`` is one sentence without a full stop."""
    return Found((Finding(check, Result.FAIL, text, whose),))


def couldnt_tell(check: str, answer: Answer, what: str, could_be: tuple[str, ...] = ()) -> Found:
    """No fact either way: DNS did not say.

    ``what``: what would have been learnt. ``could_be``: the checks that might have failed; none
    named: any of the family.
    """
    why = {
        Status.SERVER_FAILURE: "the name servers failed",
        Status.TIMEOUT: "the name servers did not answer in time",
    }.get(answer.status, "there was no answer")
    if answer.denied_by:
        told = f"{answer.resolver} could not confirm that"
        if not answer.resolver:
            told = "that was not confirmed in time"
        why = f"{answer.denied_by} found nothing, and {told}"
    text = f"{what} could not be looked up: {why} ({answer.question.name} {answer.question.type})"
    finding = Finding(
        check,
        Result.COULDNT_TELL,
        text,
        Whose.BETWEEN,
        answer.seconds,
        answer.resolver,
        could_be,
    )
    return Found((finding,))
