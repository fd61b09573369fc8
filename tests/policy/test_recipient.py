"""Postmaster's own way, and recipients who differ: every mix of what they say."""

from itertools import product

import pytest
from tests.policy.making import address, book, fail, rule, unknown
from tests.policy.making import facts as known

from postern.mail.address import Address
from postern.policy.judge import Gravity, Judgement
from postern.policy.recipient import at_end, judge_for, key_of_rules
from postern.policy.rules.book import Book
from postern.policy.rules.rule import DEFAULTS, Action, Scope, family_of

POSTMASTER = address("postmaster@harbour.example")
WANG = address("wang@harbour.example")


def said(word: str) -> Judgement:
    """A judgement that says so."""
    if word == "locked":
        return Judgement(Gravity.REFUSE, fail("virus.found"), None, None, ())
    gravity = Gravity[word.upper()]
    return Judgement(gravity, fail("rule.block") if gravity else None, None, None, ())


WORDS = ("accept", "junk", "hold", "refuse", "refuse_for_now", "locked")
MIXES = [mix for length in (1, 2, 3) for mix in product(WORDS, repeat=length)]


@pytest.mark.parametrize("mix", MIXES, ids=["-".join(mix) for mix in MIXES])
def test_one_answer_is_found_for_every_mix(mix: tuple[str, ...]) -> None:
    refusing = at_end([said(word) for word in mix])
    if "locked" in mix:
        assert refusing == said("locked")
    elif "refuse_for_now" in mix:
        assert refusing == said("refuse_for_now")
    elif set(mix) == {"refuse"}:
        assert refusing == said("refuse")
    else:
        assert refusing is None


@pytest.mark.parametrize("check", sorted(DEFAULTS))
def test_postmaster_is_refused_for_a_virus_size_and_rate_alone(check: str) -> None:
    blocking = book(rule("all", Action.BLOCK), system=f"{check}=refuse")
    verdict = judge_for(POSTMASTER, (fail(check),), known(), blocking)
    is_kept = family_of(check) in {"virus", "size", "rate"}
    assert (verdict.gravity >= Gravity.REFUSE_FOR_NOW) == is_kept
    assert verdict.gravity is Gravity.ACCEPT or is_kept
    assert judge_for(WANG, (fail(check),), known(), blocking).gravity is Gravity.REFUSE


@pytest.mark.parametrize("domain", ["", "harbour.example"])
def test_nothing_goes_to_postmaster_unscanned(domain: str) -> None:
    named = Address("Postmaster", domain)
    silence = (unknown("virus.couldnt-tell"), unknown("spf.couldnt-tell"))
    verdict = judge_for(named, silence, known(), Book())
    assert verdict.gravity is Gravity.REFUSE_FOR_NOW
    assert judge_for(named, silence[1:], known(), Book()).gravity is Gravity.ACCEPT


# --- whose rules are the same ---------------------------------------------------------------------

SAME = [
    ("nobody has any", book(), book()),
    ("two say the same", book(rule("@tea.example")), book(rule("@tea.example"))),
    (
        "both about another client",
        book(rule("203.0.113.9", Action.BLOCK)),
        book(rule("helo:mx.other.example"), rule("ptr:mx.other.example", Action.HOLD)),
    ),
    ("the system's are everybody's", book(rule("all", scope=Scope.SYSTEM)), book()),
]
OTHER = [
    ("who it is from", book(rule("@tea.example", Action.BLOCK)), book()),
    ("what is done", book(rule("all", Action.JUNK)), book(rule("all", Action.HOLD))),
    ("proof", book(rule("@tea.example")), book(rule("@tea.example", unproven=True))),
    ("what is waived", book(rule("all", waive="spf")), book(rule("all", waive="dkim"))),
    ("this client", book(rule("198.51.100.0/24")), book(rule("203.0.113.0/24"))),
    ("its name", book(rule("helo:mail.tea.example", Action.JUNK)), book()),
    ("how near", book(rule("all")), book(rule("all", scope=Scope.DOMAIN))),
    ("the domain's settings", book(domain="spf.fail=refuse"), book()),
]


@pytest.mark.parametrize(("_why", "one", "other"), SAME, ids=[case[0] for case in SAME])
def test_recipients_who_cannot_disagree_have_the_same_key(
    _why: str, one: Book, other: Book
) -> None:
    assert key_of_rules(WANG, known(), one) == key_of_rules(WANG, known(), other)


@pytest.mark.parametrize(("_why", "one", "other"), OTHER, ids=[case[0] for case in OTHER])
def test_recipients_who_might_disagree_have_other_keys(_why: str, one: Book, other: Book) -> None:
    keys = [key_of_rules(WANG, known(), each) for each in (one, other, one)]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]
    assert hash(keys[0]) == hash(keys[2])


def test_postmaster_and_who_is_known_are_no_ordinary_recipients() -> None:
    plain = key_of_rules(WANG, known(), Book())
    assert key_of_rules(POSTMASTER, known(), Book()) != plain
    assert key_of_rules(WANG, known(known=True), Book()) != plain
