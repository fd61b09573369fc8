import asyncio

import pytest
from tests.policy.checks.asking import IP, seen, told, zone

from postern.mail.dns import Answer, Question, Status
from postern.mail.finding import Result, Whose
from postern.policy.checks import spf as module
from postern.policy.checks.spf import check_spf
from postern.runtime.resolver.fake import FakeResolver


def publishing(record: str) -> FakeResolver:
    dns = zone()
    dns.add("tea.example", "TXT", record)
    return dns


async def test_pass_proves_the_domain() -> None:
    found = await check_spf(seen(), zone())
    assert told(found) == [("spf.fail", Result.NOTE), ("spf.fail", Result.PASS)]
    assert found.proven == {"tea.example"}


async def test_pass_of_the_server_name_proves_that_name_alone() -> None:
    dns = publishing("v=spf1 -all")
    dns.add("mail.tea.example", "TXT", "v=spf1 a -all")
    found = await check_spf(seen(), dns)
    assert told(found)[-1] == ("spf.fail", Result.FAIL)
    assert found.proven == {"mail.tea.example"}


async def test_fail_names_the_term_and_what_the_domain_has_to_say() -> None:
    dns = publishing("v=spf1 ip4:192.0.2.1 -all exp=why.tea.example")
    dns.add("why.tea.example", "TXT", "ask our office about %{i}")
    found = await check_spf(seen(), dns)
    text = found.findings[-1].text
    assert "tea.example does not let your mail server send for it (SPF -all)" in text
    assert 'it says: "ask our office about 198.51.100.24"' in text
    assert found.findings[-1].whose is Whose.SENDER


@pytest.mark.parametrize(
    ("record", "check", "result"),
    [
        ("v=spf1 ~all", "spf.softfail", Result.FAIL),
        ("v=spf1 ?all", "spf.fail", Result.NOTE),
        ("v=spf1 nonsense", "spf.fail", Result.NOTE),
        ("no record", "spf.fail", Result.NOTE),
    ],
)
async def test_other_results_are_told_and_fail_nobody(
    record: str, check: str, result: Result
) -> None:
    assert told(await check_spf(seen(), publishing(record)))[-1] == (check, result)


async def test_silence_is_couldnt_tell() -> None:
    dns = zone()
    dns.time_out("tea.example", "TXT")
    found = await check_spf(seen(), dns)
    assert told(found)[-1] == ("spf.couldnt-tell", Result.COULDNT_TELL)
    assert found.proven == frozenset()


async def test_fail_that_rests_on_a_silent_reverse_zone_is_couldnt_tell() -> None:
    dns = publishing("v=spf1 ptr -all")
    dns.time_out("24.100.51.198.in-addr.arpa", "PTR")
    found = await check_spf(seen(), dns)
    assert told(found)[-1] == ("spf.couldnt-tell", Result.COULDNT_TELL)


async def test_silence_about_the_server_name_alone_is_only_noted() -> None:
    dns = zone()
    dns.time_out("mail.tea.example", "TXT")
    found = await check_spf(seen(), dns)
    assert told(found) == [("spf.fail", Result.NOTE), ("spf.fail", Result.PASS)]


async def test_null_sender_is_asked_for_the_server_name_once() -> None:
    dns = zone()
    dns.add("mail.tea.example", "TXT", "v=spf1 -all")
    found = await check_spf(seen(mail_from=None), dns)
    assert told(found) == [("spf.fail", Result.FAIL)]
    assert [question.name for question in dns.queries].count("mail.tea.example") == 1


async def test_check_that_takes_too_long_is_couldnt_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.01)

    class Silent(FakeResolver):
        async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
            del foreign_ok
            await asyncio.Event().wait()
            raise AssertionError(question)

    found = await check_spf(seen(), Silent())
    assert told(found)[-1] == ("spf.couldnt-tell", Result.COULDNT_TELL)


@pytest.mark.parametrize("status", [Status.OK, Status.TIMEOUT], ids=["published", "not-told"])
async def test_fail_waits_for_dmarc_where_it_may_have_the_last_word(status: Status) -> None:
    dns = publishing("v=spf1 -all")
    assert (await check_spf(seen(), dns)).waits == frozenset()
    dns.add("_dmarc.tea.example", "TXT", "v=DMARC1; p=none", status=status)
    assert (await check_spf(seen(), dns)).waits == {"spf.fail"}


async def test_dmarc_is_asked_for_only_where_spf_fails() -> None:
    dns = publishing(f"v=spf1 ip4:{IP} -all")
    await check_spf(seen(), dns)
    assert not [question for question in dns.queries if question.name.startswith("_dmarc")]
