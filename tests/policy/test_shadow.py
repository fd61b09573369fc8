"""Rules that leave each other nothing to do, and those that take some mail from another."""

import pytest
from tests.policy.making import book, facts, fail, rule

from postern.policy.judge import judge
from postern.policy.rules.rule import Action, Rule, Scope
from postern.policy.shadow import shadows

D, S = Scope.DOMAIN, Scope.SYSTEM


def said(new: Rule, *old: Rule) -> list[str]:
    return [
        text.replace(one.label, "X") for text in shadows(new, book(*old), 0.0) for one in old[:1]
    ]


def test_a_rule_that_another_always_forestalls_is_told_so() -> None:
    everything = rule("li@tea.example", Action.BLOCK)
    assert said(rule("@tea.example"), everything) == []  # others of that domain still come
    narrower = rule("198.51.100.24", unproven=True)
    assert said(rule("198.51.100.0/24"), narrower) == []
    known = rule("198.51.100.0/24")
    assert said(rule("198.51.100.0/24", Action.BLOCK), known) == [
        "from now on X (198.51.100.0/24) never decides"
    ]
    older = rule("@tea.example", Action.BLOCK)
    late = Rule("M0", Scope.MAILBOX, older.place, older.match, Action.JUNK, serial=0)
    assert said(late, older) == ["it never decides: X (@tea.example) blocks all of them first"]


@pytest.mark.parametrize(
    ("new", "old", "text"),
    [
        (
            rule("li@tea.example", Action.ALLOW, unproven=True),
            rule("@tea.example", Action.BLOCK),
            "from now on X (@tea.example) no longer decides for li@tea.example",
        ),
        (
            rule("li@tea.example"),
            rule("@tea.example", Action.BLOCK),
            "from now on X (@tea.example) no longer decides for li@tea.example"
            " if SPF or DKIM proves it",
        ),
        (
            rule("198.51.100.24", Action.HOLD),
            rule("198.51.100.0/24"),
            "from now on X (198.51.100.0/24) no longer decides for 198.51.100.24",
        ),
        (
            rule("@tea.example", Action.JUNK),
            rule("@*.tea.example", Action.BLOCK, D),
            "from now on X (@*.tea.example) no longer decides for @tea.example"
            " to wang@harbour.example",
        ),
        (
            rule("all", Action.BLOCK, D),
            rule("helo:mail.tea.example", unproven=True, scope=S),
            "from now on X (helo:mail.tea.example) no longer decides for helo:mail.tea.example"
            " to harbour.example",
        ),
    ],
)
def test_what_a_rule_takes_from_another_is_named(new: Rule, old: Rule, text: str) -> None:
    assert said(new, old) == [text]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (rule("198.51.100.24", waive="spf"), rule("198.51.100.24", Action.BLOCK, S)),
        (rule("helo:a.example", Action.BLOCK), rule("ptr:a.example")),
        (rule("2001:db8::/32", Action.BLOCK), rule("198.51.100.0/24")),
        (rule("known"), rule("@tea.example", Action.BLOCK, D)),
        (rule("@tea.example", Action.BLOCK), rule("@offers.example")),
    ],
)  # fmt: skip
def test_rules_about_other_mail_are_not_named(new: Rule, old: Rule) -> None:
    assert said(new, old) == []


def test_a_waiver_that_another_waives_already_changes_nothing() -> None:
    wider = rule("198.51.100.24", waive="spf,dnsbl")
    same = Rule("M0", Scope.MAILBOX, wider.place, wider.match, Action.ALLOW, frozenset({"spf"}))
    assert said(same, wider) == ["it changes nothing: X (198.51.100.24) waives that already"]
    more = Rule("M0", Scope.MAILBOX, wider.place, wider.match, Action.ALLOW, frozenset({"ptr"}))
    assert said(more, wider) == []


def test_what_ends_first_says_until_when() -> None:
    older = rule("@tea.example", Action.BLOCK)
    ending = Rule("M7", older.scope, older.place, older.match, Action.BLOCK, serial=7, until=1e9)
    late = Rule("M0", older.scope, older.place, older.match, Action.JUNK, serial=0)
    assert shadows(late, book(ending), 0.0) == [
        "it never decides: M7 (@tea.example) blocks all of them first, until 2001-09-09"
    ]
    assert shadows(late, book(ending), 2e9) == []  # it is over


def test_many_are_summed_up() -> None:
    old = [rule(f"p{n}@tea.example", Action.JUNK, D) for n in range(8)]
    told = shadows(rule("@tea.example", Action.BLOCK, D), book(*old), 0.0)
    assert told == []  # the more particular ones still decide
    nearer = shadows(rule("@tea.example", Action.BLOCK), book(*old), 0.0)
    assert len(nearer) == 6
    assert nearer[-1] == "and 3 more rules decide less"


def test_what_is_said_to_never_decide_never_does() -> None:
    """For every pair of rules: what is told is so, by the judge."""
    words = ("li@tea.example", "@tea.example", "@*.tea.example", "198.51.100.24", "all")
    findings = [fail("dnsbl.listed"), fail("spf.fail")]
    mails = [
        facts(sender, author=sender, ip=ip, proven=proven)
        for sender in ("li@tea.example", "x@tea.example", "y@shop.tea.example", "z@pier.example")
        for ip in ("198.51.100.24", "203.0.113.5")
        for proven in ("", "tea.example")
    ]
    told = 0
    for first in (rule(w, a, waive=v) for w in words for a in Action for v in _waivers(a)):
        for second in (rule(w, a, waive=v) for w in words for a in Action for v in _waivers(a)):
            for text in shadows(second, book(first), 0.0):
                loser = first if text.startswith("from now on") else second
                winner = second if loser is first else first
                if "never" not in text and "nothing" not in text:
                    continue
                told += 1
                for mail in mails:
                    both = judge(findings, mail, book(first, second))
                    alone = judge(findings, mail, book(winner))
                    assert both.gravity is alone.gravity, (text, mail)
    assert told > 50


def _waivers(action: Action) -> tuple[str, ...]:
    return ("", "spf", "spf,dnsbl") if action is Action.ALLOW else ("",)
