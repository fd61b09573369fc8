"""What is found by index is what is found by trying every rule."""

from hypothesis import given
from hypothesis import strategies as st
from tests.policy.making import facts, rule

from postern.policy.rules.match import Facts, Fit, fit
from postern.policy.rules.rule import Action, Rule
from postern.policy.rules.shelf import Shelf, particularity

WORDS = (
    "all", "known", "li@tea.example", "ann@shop.tea.example", "@tea.example", "@*.tea.example",
    "@*.shop.tea.example", "@*.example", "198.51.100.24", "198.51.100.0/24", "198.51.0.0/16",
    "0.0.0.0/0", "2001:db8::/32", "::/0", "helo:mail.tea.example", "ptr:mail.tea.example",
    "list:offers.tea.example",
)  # fmt: skip
FACTS = st.builds(
    facts,
    st.sampled_from(["", "li@tea.example", "LI@TEA.example", "a@shop.tea.example", "x@y.example"]),
    author=st.sampled_from([None, "", "ann@shop.tea.example", "li@tea.example"]),
    ip=st.sampled_from(["198.51.100.24", "198.51.7.1", "203.0.113.9", "2001:db8::7", "::1"]),
    ptr=st.sampled_from(["", "mail.tea.example"]),
    list_id=st.sampled_from([None, "offers.tea.example"]),
    helo=st.sampled_from(["", "mail.tea.example", "other.example"]),
    known=st.booleans(),
)


def those_that_fit(rules: list[Rule], known: Facts) -> list[Rule]:
    return [rule for rule in rules if fit(rule.match, known, needs_proof=False) is Fit.YES]


@given(st.lists(st.sampled_from(WORDS)), FACTS)
def test_index_finds_what_trying_them_all_finds_in_the_same_order(
    words: list[str], known: Facts
) -> None:
    rules = sorted((rule(text) for text in words), key=particularity)
    assert those_that_fit(Shelf(rules).candidates(known), known) == those_that_fit(rules, known)


@given(st.lists(st.sampled_from(WORDS)), FACTS)
def test_all_that_the_header_may_yet_let_through_is_known(words: list[str], known: Facts) -> None:
    rules = [rule(text) for text in words] + [rule(text, Action.BLOCK) for text in words]
    may = [r for r in rules if fit(r.match, known, needs_proof=r.needs_proof) is Fit.NOT_YET]
    found = set(Shelf(rules).header_allows)
    assert {r for r in may if r.action is Action.ALLOW} <= found
    assert all(r.action is Action.ALLOW for r in found)


def test_the_more_particular_rule_comes_first_and_of_equals_the_later_one() -> None:
    older, newer = rule("@tea.example"), rule("@tea.example")
    others = [rule(text) for text in ("all", "198.51.0.0/16", "198.51.100.24", "li@tea.example")]
    order = [str(r.match) for r in Shelf([older, *others, newer]).candidates(facts(author=""))]
    assert order == [
        "li@tea.example",
        "@tea.example",
        "@tea.example",
        "198.51.100.24",
        "198.51.0.0/16",
        "all",
    ]
    assert Shelf([older, newer]).candidates(facts())[0] is newer
