"""Each kind of match, each action, each scope: whom a rule is about, and whom it is not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from tests.journeys.judged import LETTER, MESSAGE, Court, author, court
from tests.peers.outsider import Letter

from postern.policy.rules.rule import Action, Scope

pytestmark = pytest.mark.peers("nsd", "clamd", "rspamd")


@pytest.fixture(scope="module")
def place() -> Iterator[Court]:
    with court() as found:
        yield found


@dataclass(frozen=True, slots=True)
class About:
    """Who a rule is about, in the words people write, and somebody else."""

    name: str
    match: str
    inside: Letter
    outside: Letter


def listed(list_id: bytes) -> bytes:
    return b"List-Id: Teas <" + list_id + b">\r\n" + MESSAGE


BELOW = replace(LETTER, message=author(b"ann@shop.tea.test"))
ELSEWHERE = replace(LETTER, sender="x@soft.test", message=author(b"x@soft.test"))
WHO = (
    About("address", "chen@tea.test", LETTER, ELSEWHERE),
    About("author", "ann@shop.tea.test", BELOW, LETTER),
    About("domain", "@tea.test", LETTER, ELSEWHERE),
    About("below", "@*.tea.test", BELOW, ELSEWHERE),
    About("ip", "198.51.100.24", LETTER, replace(LETTER, ip="198.51.100.25")),
    About("cidr", "198.51.100.24/31", LETTER, replace(LETTER, ip="198.51.100.26")),
    About("helo", "helo:mail.tea.test", LETTER, replace(LETTER, helo="bare.tea.test")),
    About("ptr", "ptr:mail.tea.test", LETTER, replace(LETTER, ip="198.51.100.25")),
    About(
        "list",
        "list:offers.tea.test",
        replace(LETTER, message=listed(b"offers.tea.test")),
        replace(LETTER, message=listed(b"other.tea.test")),
    ),
)
PLACES = {Action.HOLD: "held", Action.JUNK: "junk"}
by_scope = pytest.mark.parametrize("scope", Scope, ids=lambda one: one.name.lower())
by_match = pytest.mark.parametrize("about", WHO, ids=lambda about: about.name)


@pytest.mark.parametrize("action", [Action.BLOCK, Action.HOLD, Action.JUNK], ids=lambda a: a.value)
@by_match
@by_scope
def test_a_rule_is_about_whom_it_names_and_nobody_else(
    place: Court, scope: Scope, about: About, action: Action
) -> None:
    recipient = place.recipient("rules")
    with place.rule(action, about.match, scope, recipient):
        for letter, is_meant in ((about.inside, True), (about.outside, False)):
            said = place.hand_in(letter, recipient)
            if is_meant and action is Action.BLOCK:
                assert said.code == 550, said.lines
                assert "of this recipient says so" in said.text
                continue
            assert said.accepted, said.lines
            expected = PLACES[action] if is_meant else "inbox"
            assert place.whereabouts(recipient, said.trace) == expected


@by_match
@by_scope
def test_a_rule_that_allows_overrules_a_wider_one_that_blocks(
    place: Court, scope: Scope, about: About
) -> None:
    recipient = place.recipient("rules")
    blocking = {Scope.MAILBOX: Scope.DOMAIN, Scope.DOMAIN: Scope.SYSTEM}.get(scope, Scope.SYSTEM)
    with (
        place.rule(Action.BLOCK, "all", blocking, recipient),
        place.rule(Action.ALLOW, about.match, scope, recipient),
    ):
        said = place.hand_in(about.inside, recipient)
        assert said.accepted, said.lines
        assert place.whereabouts(recipient, said.trace) == "inbox"
        assert place.hand_in(about.outside, recipient).code == 550


@by_scope
def test_who_only_says_to_be_somebody_is_not_let_through_unless_a_rule_says_unproven(
    place: Court, scope: Scope
) -> None:
    recipient = place.recipient("rules")
    liar = replace(LETTER, ip="203.0.113.5", sender="x@soft.test", message=MESSAGE)
    waived = frozenset({"ptr", "spf"})
    with place.rule(Action.ALLOW, "chen@tea.test", scope, recipient, waived):
        assert place.hand_in(liar, recipient).code // 100 in {4, 5}
    with place.rule(Action.ALLOW, "chen@tea.test", scope, recipient, waived, unproven=True):
        assert place.hand_in(liar, recipient).accepted
