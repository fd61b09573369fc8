"""check_host(): an SPF record weighed against a client, without a network.

Records are walked as RFC 7208 §4 and §5 tell; only what one mechanism asks anyway (the hosts of an
MX or PTR list) is asked at once, so no domain is asked more than its record says. At most 10 terms
ask, each at most 11 questions.

"Couldn't tell" stays apart: a question without an answer is a temperror that names the question.
Where RFC 7208 §5.5 passes over it (``ptr``), the result still lists it in ``unanswered``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from postern.mail.dns import Answer, Inquiry, Question, Status
from postern.mail.message.text import clean_text
from postern.mail.spf.client import Client, parse_client
from postern.mail.spf.macro import (
    Facts,
    MacroString,
    a_labels,
    expand_domain,
    expand_explanation,
    is_top_label,
    parse_explanation,
)
from postern.mail.spf.record import (
    Directive,
    Kind,
    Record,
    RecordFlaw,
    Redirect,
    is_spf_record,
    parse_record,
)
from postern.mail.spf.result import SpfCode, SpfResult, Step

MAX_LOOKUPS = 10
"""Terms that ask DNS in one check (RFC 7208 §4.6.4)."""
MAX_VOID_LOOKUPS = 2
"""Those among them that nothing may come of (RFC 7208 §4.6.4)."""
MAX_MX = 10
"""Hosts of one MX list; more are a permerror (RFC 7208 §4.6.4)."""
MAX_PTR = 10
"""Names of one PTR list; further ones are not looked at (RFC 7208 §4.6.4)."""

_MAX_SHOWN_NAME_CHARS = 255
_NAME = re.compile(r"(?:[ -\-/-~]{1,63}\.)*[ -\-/-~]{1,63}")
_SILENCE = {
    Status.SERVER_FAILURE: "the name servers failed",
    Status.TIMEOUT: "the name servers did not answer in time",
}


@dataclass(frozen=True, slots=True)
class _Ruling:
    """What a record came to: a result without the counts of the whole check.

    ``explanation`` is what to expand in ``explained_by``'s name should it end as a fail.
    """

    code: SpfCode
    decided_by: str
    term: str = ""
    via: tuple[Step, ...] = ()
    problem: str = ""
    explanation: MacroString | None = None
    explained_by: str = ""


def check_host(
    ip: str, domain: str, sender: str, helo: str, *, receiver: str, now: float
) -> Inquiry[SpfResult]:
    """Whether the client at ``ip`` may send for ``domain`` (RFC 7208 §4).

    Args:
        ip: the client's address.
        domain: of the identity that is checked, as the client gave it (see ``identity``).
        sender: the identity as a mailbox.
        helo: the client's word at HELO or EHLO, for ``%{h}``.
        receiver: our own name, for ``%{r}``.
        now: seconds since 1970, for ``%{t}``.

    Never raises, whatever the client, the records and the answers hold. There is no limit on time
    here: whoever drives the inquiry gives up after 20 s or more and takes ``out_of_time``.
    """
    shown = clean_text(domain, _MAX_SHOWN_NAME_CHARS)
    client = parse_client(ip)
    if client is None:
        return SpfResult(SpfCode.NONE, shown, problem="the client has no IP address")
    name = a_labels(domain).removesuffix(".")
    check = _Check(client, Facts.of(client, name, sender, helo, receiver, now))
    ruling = yield from check.judge(name)
    explanation = ""
    if ruling.code is SpfCode.FAIL and ruling.explanation is not None:
        explanation = yield from check.explain(ruling.explained_by, ruling.explanation)
    return SpfResult(
        ruling.code,
        shown,
        decided_by=ruling.decided_by,
        term=ruling.term,
        via=ruling.via,
        problem=ruling.problem,
        lookups=check.lookups,
        void_lookups=check.void_lookups,
        explanation=explanation,
        unanswered=tuple(check.unanswered),
    )


def is_askable(name: str) -> bool:
    """True when DNS can hold ``name``: labels of 1 to 63 printable ASCII characters, 253 in all."""
    return len(name) <= 253 and _NAME.fullmatch(name) is not None


def is_full_name(name: str) -> bool:
    """True for what RFC 7208 §4.3 can be asked about: two labels or more, no address literal."""
    _, dot, last = name.rpartition(".")
    return bool(dot) and is_top_label(last) and is_askable(name)


class _Check:
    """One check_host() with all its includes and redirects, and the counts they share."""

    def __init__(self, client: Client, facts: Facts) -> None:
        self.client = client
        self.facts = facts
        self.lookups = 0
        self.void_lookups = 0
        self.unanswered: list[Question] = []
        self._names: tuple[str, ...] | None = None  # validated; None: not asked yet
        self._is_nameless = False

    def judge(self, domain: str) -> Inquiry[_Ruling]:
        """Fetch and weigh the record of ``domain`` (RFC 7208 §4.3 to §4.5)."""
        if not is_full_name(domain):
            shown = clean_text(domain, _MAX_SHOWN_NAME_CHARS)
            return _Ruling(SpfCode.NONE, shown, problem="this is not a full domain name")
        (answer,) = yield (Question.of(domain, "TXT"),)
        if not answer.status.is_known:
            return self._couldnt_tell(domain, "", answer)
        found = [text for text in answer.records if is_spf_record(text)]
        if not found:
            return _Ruling(SpfCode.NONE, domain, problem="there is no SPF record")
        if len(found) > 1:
            return _Ruling(
                SpfCode.PERMERROR, domain, problem=f"there are {len(found)} SPF records, not one"
            )
        record = parse_record(found[0])
        if isinstance(record, RecordFlaw):
            return _Ruling(SpfCode.PERMERROR, domain, record.term, problem=record.text)
        return (yield from self._weigh(domain, record))

    def explain(self, domain: str, text: MacroString) -> Inquiry[str]:
        """What the domain says to a fail; empty when there is any trouble with it (§6.2)."""
        if self.facts.hide(text):
            return ""
        validated = (yield from self._choose_name(domain)) if text.needs_validated_name else ""
        name = expand_domain(text, self.facts, domain, validated)
        if not is_askable(name):
            return ""
        (answer,) = yield (Question.of(name, "TXT"),)
        if answer.status is not Status.OK or len(answer.records) != 1:
            return ""
        words = parse_explanation(answer.records[0])
        if words is None:
            return ""
        if words.needs_validated_name and not validated:
            validated = yield from self._choose_name(domain)
        return expand_explanation(words, self.facts, domain, validated)

    def _weigh(self, domain: str, record: Record) -> Inquiry[_Ruling]:
        """Terms from left to right, then redirect, then the default (RFC 7208 §4.6.2, §4.7)."""
        for directive in record.directives:
            kind = directive.kind
            if kind is Kind.IP4 or kind is Kind.IP6 or kind is Kind.ALL:
                # By far the most: decided here, without a generator for each.
                if not self._matches(directive):
                    continue
                ruling: _Ruling | None = _Ruling(directive.result, domain, directive.text)
            else:
                ruling = yield from self._try_asking(domain, directive)
            if ruling is not None:
                # An included record's own explanation is not to be used (RFC 7208 §6.2).
                return replace(ruling, explanation=record.explanation, explained_by=domain)
        if record.redirect is None:
            return _Ruling(SpfCode.NEUTRAL, domain)
        return (yield from self._redirect(domain, record.redirect))

    def _matches(self, directive: Directive) -> bool:
        """The mechanisms that need no DNS (RFC 7208 §5.1, §5.6)."""
        if directive.kind is Kind.ALL:
            return True
        if (directive.kind is Kind.IP6) is not self.client.is_ipv6:
            return False
        return self.client.is_in(directive.network, self._prefix(directive))

    def _prefix(self, directive: Directive) -> int:
        return directive.prefix6 if self.client.is_ipv6 else directive.prefix4

    def _try_asking(self, domain: str, directive: Directive) -> Inquiry[_Ruling | None]:
        """The mechanisms that ask DNS (RFC 7208 §5.2 to §5.5, §5.7)."""
        spent = self._spend(domain, directive.text)
        if spent is not None:
            return spent
        target = domain
        if directive.target is not None:
            if self.facts.hide(directive.target):
                return None
            expanded = yield from self._target(domain, directive.text, directive.target)
            if not isinstance(expanded, str):
                return expanded
            target = expanded
        if directive.kind is Kind.INCLUDE:
            return (yield from self._include(domain, directive, target))
        if not is_askable(target):
            # RFC 7208 §4.8 leaves this open; what cannot be in DNS matches nothing.
            return None
        outcome = yield from self._ask(domain, directive, target)
        if outcome is True:
            return _Ruling(directive.result, domain, directive.text)
        return None if outcome is False else outcome

    def _ask(self, domain: str, directive: Directive, target: str) -> Inquiry[bool | _Ruling]:
        """Whether a mechanism that asks about addresses matches, or what ends the check."""
        if directive.kind is Kind.PTR:
            return (yield from self._ask_ptr(domain, directive, target))
        if directive.kind is Kind.MX:
            return (yield from self._ask_mx(domain, directive, target))
        type_ = "A" if directive.kind is Kind.EXISTS else self.client.record_type
        (answer,) = yield (Question.of(target, type_),)
        if not answer.status.is_known:
            return self._couldnt_tell(domain, directive.text, answer)
        if not answer.records:
            return self._void(domain, directive.text)
        if directive.kind is Kind.EXISTS:
            return True
        return self.client.is_among(answer, self._prefix(directive))

    def _ask_mx(self, domain: str, directive: Directive, target: str) -> Inquiry[bool | _Ruling]:
        """RFC 7208 §5.4. A term counts as void once, when no address came of all that it asked."""
        (answer,) = yield (Question.of(target, "MX"),)
        if not answer.status.is_known:
            return self._couldnt_tell(domain, directive.text, answer)
        if len(answer.records) > MAX_MX:
            problem = f"{clean_text(target)} has more than {MAX_MX} MX hosts"
            return _Ruling(SpfCode.PERMERROR, domain, directive.text, problem=problem)
        if not answer.records:
            return self._void(domain, directive.text)
        hosts = [record.partition(" ")[2] for record in answer.records]
        questions = self._host_questions(hosts)
        if not questions:  # the null MX says that there are none (RFC 7505)
            return False
        answers = yield questions
        if any(self.client.is_among(found, self._prefix(directive)) for found in answers):
            return True
        # A match counts even beside a silent server: hosts have no order that says where to stop.
        for found in answers:
            if not found.status.is_known:
                return self._couldnt_tell(domain, directive.text, found)
        if any(found.records for found in answers):
            return False
        return self._void(domain, directive.text)

    def _ask_ptr(self, domain: str, directive: Directive, target: str) -> Inquiry[bool | _Ruling]:
        """RFC 7208 §5.5: silence of the reverse zone is no match, and no temperror."""
        names = yield from self._validated_names()
        wanted = target.lower()
        if any(name == wanted or name.endswith(f".{wanted}") for name in names):
            return True
        return self._void(domain, directive.text) if self._is_nameless else False

    def _include(self, domain: str, directive: Directive, target: str) -> Inquiry[_Ruling | None]:
        """The table of RFC 7208 §5.2."""
        inner = yield from self.judge(target)
        if inner.code in {SpfCode.FAIL, SpfCode.SOFTFAIL, SpfCode.NEUTRAL}:
            return None
        code: SpfCode = inner.code
        if code is SpfCode.PASS:
            code = directive.result
        elif code is SpfCode.NONE:
            code = SpfCode.PERMERROR
        return replace(inner, code=code, via=(Step(domain, directive.text), *inner.via))

    def _redirect(self, domain: str, redirect: Redirect) -> Inquiry[_Ruling]:
        """RFC 7208 §6.1: the other domain's result, and its explanation."""
        spent = self._spend(domain, redirect.text)
        if spent is not None:
            return spent
        target = yield from self._target(domain, redirect.text, redirect.target)
        if not isinstance(target, str):
            return target
        inner = yield from self.judge(target)
        code = SpfCode.PERMERROR if inner.code is SpfCode.NONE else inner.code
        step = Step(domain, redirect.text, is_redirect=True)
        return replace(inner, code=code, via=(step, *inner.via))

    def _target(self, domain: str, term: str, text: MacroString) -> Inquiry[str | _Ruling]:
        """The name a term's domain-spec stands for."""
        validated = ""
        if text.needs_validated_name:
            if self._names is None:  # asked once, so it counts once
                spent = self._spend(domain, term)
                if spent is not None:
                    return spent
            validated = yield from self._choose_name(domain)
        return expand_domain(text, self.facts, domain, validated)

    def _choose_name(self, domain: str) -> Inquiry[str]:
        """The value of ``%{p}`` in the record of ``domain`` (RFC 7208 §7.3)."""
        names = yield from self._validated_names()
        own = domain.lower()
        if own in names:
            return own
        below = [name for name in names if name.endswith(f".{own}")]
        return next(iter([*below, *names]), "unknown")

    def _validated_names(self) -> Inquiry[tuple[str, ...]]:
        """The client's names in DNS that lead back to its address; asked once in a check (§5.5)."""
        if self._names is not None:
            return self._names
        self._names = ()
        (answer,) = yield (Question.reverse(self.client.readable),)
        if not answer.status.is_known:
            self.unanswered.append(answer.question)
            return ()
        self._is_nameless = not answer.records
        questions = self._host_questions(answer.records[:MAX_PTR])
        if not questions:
            return ()
        names = []
        answers = yield questions
        for question, found in zip(questions, answers, strict=True):
            if not found.status.is_known:
                self.unanswered.append(question)
            elif self.client.is_among(found, self.client.bits):
                names.append(question.name)
        self._names = tuple(names)
        return self._names

    def _host_questions(self, hosts: Iterable[str]) -> tuple[Question, ...]:
        """One question for the addresses of each host that can have any; each host once."""
        type_ = self.client.record_type
        questions = (Question.of(host, type_) for host in hosts)
        return tuple(dict.fromkeys(q for q in questions if is_askable(q.name)))

    def _spend(self, domain: str, term: str) -> _Ruling | None:
        """Count a term that asks DNS; a ruling when it is one too many (RFC 7208 §4.6.4)."""
        if self.lookups >= MAX_LOOKUPS:
            problem = f"more than {MAX_LOOKUPS} terms need DNS"
            return _Ruling(SpfCode.PERMERROR, domain, term, problem=problem)
        self.lookups += 1
        return None

    def _void(self, domain: str, term: str) -> bool | _Ruling:
        """Count a term that nothing came of: no match, or one too many (RFC 7208 §4.6.4)."""
        self.void_lookups += 1
        if self.void_lookups <= MAX_VOID_LOOKUPS:
            return False
        problem = f"more than {MAX_VOID_LOOKUPS} terms ask for what DNS does not have"
        return _Ruling(SpfCode.PERMERROR, domain, term, problem=problem)

    def _couldnt_tell(self, domain: str, term: str, answer: Answer) -> _Ruling:
        """DNS gave no answer to a question that the result hangs on (RFC 7208 §4.4, §5)."""
        question = answer.question
        self.unanswered.append(question)
        problem = f"{question.type} records of {question.name}: {_SILENCE[answer.status]}"
        return _Ruling(SpfCode.TEMPERROR, domain, term, problem=problem)
