"""DMARC's findings where its policy can't be looked up."""

import pytest

from postern.mail.dmarc.alignment import Identifier, Method, Proof
from postern.mail.finding import Finding, Result
from postern.policy.checks.check import Found
from postern.policy.checks.dmarc import check_dmarc
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
