"""Each check, each effect, each scope: what the client is told, and where its mail comes to be."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.journeys.judged import (
    FAULTS,
    INFECTED,
    LETTER,
    MESSAGE,
    Court,
    Fault,
    author,
    court,
    signed,
)
from tests.journeys.told import traced

from postern.policy.rules.rule import DEFAULTS, Action, Scope, Treatment, checks_of

pytestmark = pytest.mark.peers("nsd", "clamd", "rspamd")

PLACES = {
    Treatment.OFF: "inbox",
    Treatment.NOTE: "inbox",
    Treatment.JUNK: "junk",
    Treatment.HOLD: "held",
}
by_check = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.check)
by_treatment = pytest.mark.parametrize("treatment", Treatment, ids=lambda one: one.value)
by_scope = pytest.mark.parametrize("scope", Scope, ids=lambda one: one.name.lower())


@pytest.fixture(scope="module")
def place() -> Iterator[Court]:
    with court() as found:
        yield found


def recipient_of(place: Court, fault: Fault, name: str, treatment: Treatment | None = None) -> str:
    """A mailbox where only this check counts; ``treatment`` None leaves it as everybody has it."""
    asked = dict.fromkeys(fault.beside, Treatment.OFF)
    if treatment is not None:
        asked[fault.check] = treatment
    return place.recipient(f"{name}.{fault.check.replace('.', '-')}", asked)


def assert_treated(place: Court, fault: Fault, recipient: str, treatment: Treatment) -> None:
    said = place.hand_in(fault.letter, recipient)
    if treatment is not Treatment.REFUSE:
        assert said.accepted, said.lines
        assert place.whereabouts(recipient, said.trace) == PLACES[treatment]
        return
    assert (said.stage, said.code // 100) == (fault.at, 5), said.lines
    assert said.lines[0][4:].split(" ")[1:3] == ["Not", "accepted:"]
    assert fault.words in said.text
    assert said.trace


def test_a_letter_with_nothing_wrong_is_delivered(place: Court) -> None:
    recipient = place.recipient("fine")
    for message in (MESSAGE, signed(MESSAGE)):
        said = place.hand_in(replace(LETTER, message=message), recipient)
        assert said.accepted, said.lines
        assert place.whereabouts(recipient, said.trace) == "inbox"


@by_treatment
@by_check
def test_a_domain_has_its_way(place: Court, fault: Fault, treatment: Treatment) -> None:
    recipient = recipient_of(place, fault, treatment.value, treatment)
    assert_treated(place, fault, recipient, treatment)


@by_treatment
@by_check
def test_what_everybody_has_holds_where_no_domain_says_otherwise(
    place: Court, fault: Fault, treatment: Treatment
) -> None:
    recipient = recipient_of(place, fault, "all")
    with place.by_default(fault.check, treatment):
        assert_treated(place, fault, recipient, treatment)


@by_scope
@by_check
def test_a_rule_waives_what_everybody_has(place: Court, fault: Fault, scope: Scope) -> None:
    recipient = recipient_of(place, fault, "all")
    only = frozenset({fault.family})
    with place.by_default(fault.check, Treatment.REFUSE):
        with place.rule(Action.ALLOW, fault.letter.ip, scope, recipient, only):
            assert_treated(place, fault, recipient, Treatment.NOTE)
        assert_treated(place, fault, recipient, Treatment.REFUSE)


@by_scope
@by_check
def test_only_a_rule_as_near_waives_what_a_domain_set(
    place: Court, fault: Fault, scope: Scope
) -> None:
    recipient = recipient_of(place, fault, "own", Treatment.REFUSE)
    only = frozenset({fault.family})
    expected = Treatment.REFUSE if scope is Scope.SYSTEM else Treatment.NOTE
    with place.rule(Action.ALLOW, fault.letter.ip, scope, recipient, only):
        assert_treated(place, fault, recipient, expected)


@by_check
def test_a_refusal_is_on_record_with_its_check(place: Court, fault: Fault) -> None:
    recipient = recipient_of(place, fault, "record", Treatment.REFUSE)
    told = traced(place.server, place.hand_in(fault.letter, recipient).trace)
    assert told.because is not None
    assert told.because.check == fault.check
    assert told.recipients[0].state == "refused"
    assert fault.check in {step.step for step in told.steps if step.result == "fail"}


@pytest.mark.parametrize("scope", [Scope.MAILBOX, Scope.DOMAIN], ids=lambda one: one.name.lower())
def test_what_is_locked_no_rule_lets_through(place: Court, scope: Scope) -> None:
    recipient = place.recipient("infected")
    letter = replace(LETTER, message=INFECTED)
    with place.rule(Action.ALLOW, letter.ip, scope, recipient):
        said = place.hand_in(letter, recipient)
    assert (said.stage, said.code) == ("message", 550)
    told = traced(place.server, said.trace)
    assert told.because is not None
    assert told.because.check == "virus.found"


# --- couldn't tell --------------------------------------------------------------------------------

DEAD_KEY = signed(author(b"x@deadkey.test"), b"d1", b"deadkey.test")
UNKNOWN = {
    "ptr": (replace(LETTER, ip="203.0.113.5", sender="chen@soft.test"), "rcpt"),
    "helo": (replace(LETTER, helo="mail.dead.example"), "rcpt"),
    "mailfrom": (replace(LETTER, sender="x@dead.example"), "rcpt"),
    "spf": (replace(LETTER, sender="x@deadspf.test"), "rcpt"),
    "dkim": (replace(LETTER, message=DEAD_KEY), "message"),
    "dmarc": (replace(LETTER, message=author(b"x@deaddmarc.test")), "message"),
}  # fmt: skip


@by_treatment
@pytest.mark.parametrize("family", UNKNOWN)
def test_what_nobody_could_tell_is_not_now_where_it_might_refuse_and_nothing_elsewhere(
    place: Court, family: str, treatment: Treatment
) -> None:
    letter, at = UNKNOWN[family]
    others = {check: Treatment.NOTE for check in DEFAULTS if check.split(".")[0] in UNKNOWN}
    asked = {**others, **dict.fromkeys(checks_of(family), treatment)}
    recipient = place.recipient(f"{treatment.value}.unknown-{family}", asked)
    said = place.hand_in(letter, recipient)
    if treatment is not Treatment.REFUSE:
        assert said.accepted, said.lines
        assert place.whereabouts(recipient, said.trace) == "inbox"
        return
    assert (said.stage, said.code // 100) == (at, 4), said.lines
    assert said.text.startswith("4.") or "not" in said.text.lower()
    because = traced(place.server, said.trace).because
    assert because is not None
    assert because.check.split(".")[0] == family
    assert because.whose == "between"
