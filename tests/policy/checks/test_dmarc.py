"""DMARC's findings where its policy can't be looked up."""

import pytest

from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found
from postern.policy.checks.dmarc import Believed, Way, check_dmarc
from postern.policy.checks.letter import Letter, LetterReader
from postern.runtime.resolver.fake import FakeResolver

LISTED = Finding("dnsbl.listed", Result.FAIL, "192.0.2.7 is on the blocklist bl.example")


def letter(authors: str) -> Letter:
    head = f"From: {authors}\r\nSubject: tea\r\n\r\n".encode()
    return LetterReader(head, len(head), 0.0).finish()


async def look(authors: str, *proven: str) -> Found:
    resolver = FakeResolver()
    resolver.fail_all()
    identifiers = [Identifier(Method.SPF, domain, Proof.PASS) for domain in proven]
    return await check_dmarc(letter(authors), identifiers, [LISTED], resolver)


async def test_a_proof_of_the_very_domain_is_enough_whatever_its_policy_may_be() -> None:
    (finding,) = (await look("chen@tea.example", "tea.example")).findings
    assert finding.result is Result.NOTE
    assert finding.text.startswith("tea.example is proven to be the author")


@pytest.mark.parametrize(
    ("authors", "proven"),
    [
        ("chen@tea.example", ()),
        ("chen@tea.example", ("shop.tea.example",)),  # under strict alignment that is no proof
        ("chen@tea.example", ("robber.example",)),
        ("chen@tea.example, boss@bank.example", ("tea.example",)),
    ],
    ids=["none", "below", "other", "two-authors"],
)
async def test_any_other_proof_leaves_it_untold(authors: str, proven: tuple[str, ...]) -> None:
    (finding,) = (await look(authors, *proven)).findings
    assert finding.result is Result.COULDNT_TELL


# --- p=reject refuses only what did not come by a way that breaks signatures ----------------------

BELIEVED = Believed(frozenset({"lists.example"}), frozenset({"forward.example"}))
SIGNED_BY_LIST = Identifier(Method.DKIM, "Offers.Example", Proof.PASS)


async def failing(
    extra: str = "",
    way: Way | None = None,
    identifiers: tuple[Identifier, ...] = (),
    others: tuple[Finding, ...] = (LISTED,),
) -> Finding:
    resolver = FakeResolver()
    resolver.add("_dmarc.tea.example", "TXT", "v=DMARC1; p=reject")
    head = f"From: chen@tea.example\r\n{extra}Subject: tea\r\n\r\n".encode()
    whole = LetterReader(head, len(head), 0.0).finish()
    (finding,) = (await check_dmarc(whole, identifiers, others, resolver, way)).findings
    assert finding.result is Result.FAIL
    return finding


LISTED_MAIL = "List-Id: <deals.offers.example>\r\n"


async def test_p_reject_refuses_with_other_evidence_and_is_junk_without() -> None:
    assert (await failing()).check == "dmarc.reject"
    alone = await failing(others=())
    assert alone.check == "dmarc.quarantine"
    assert alone.text.endswith("but nothing else speaks against it")


async def test_a_mailing_list_counts_only_where_it_signs_with_its_own_domain() -> None:
    assert (await failing(LISTED_MAIL)).check == "dmarc.reject"
    by_list = await failing(LISTED_MAIL, identifiers=(SIGNED_BY_LIST,))
    assert by_list.check == "dmarc.quarantine"
    assert "it came through the mailing list deals.offers.example" in by_list.text
    for other in (
        Identifier(Method.DKIM, "robber.example", Proof.PASS),
        Identifier(Method.DKIM, "offers.example", Proof.FAIL),
        Identifier(Method.SPF, "offers.example", Proof.PASS),
        Identifier(Method.DKIM, "fers.example", Proof.PASS),
    ):
        assert (await failing(LISTED_MAIL, identifiers=(other,))).check == "dmarc.reject"


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (Way("mx.lists.example", believed=BELIEVED), "mx.lists.example, whom we believe"),
        (Way(ptr="out1.Forward.example", believed=BELIEVED), "out1.forward.example, whom we know"),
        (Way(proven=frozenset({"forward.example"}), believed=BELIEVED), "forward.example, whom"),
        (Way("robber.example", "a.robber.example", believed=BELIEVED), ""),
        (Way("forward.example", "mx.lists.example", believed=BELIEVED), ""),
        (Way("lists.example", "out1.forward.example"), ""),
    ],
    ids=["sealer", "ptr", "proven", "others", "each-for-its-own-word", "nobody-is-believed"],
)
async def test_sealers_and_forwarders_count_where_they_are_believed(way: Way, text: str) -> None:
    finding = await failing(way=way)
    assert finding.check == ("dmarc.quarantine" if text else "dmarc.reject")
    assert text in finding.text
