import asyncio

import pytest
from tests.policy.checks.asking import seen, told, zone

from postern.mail.dns import Answer, Status
from postern.mail.finding import Result
from postern.policy.checks import helo as module
from postern.policy.checks.helo import check_helo
from postern.runtime.resolver.fake import FakeResolver


async def test_name_with_an_address_is_fine_whoever_it_belongs_to() -> None:
    dns = zone()
    dns.add("mail.tea.example", "A", "192.0.2.1")
    assert told(await check_helo(seen(), dns)) == [("helo.unresolvable", Result.PASS)]


@pytest.mark.parametrize(
    "helo",
    [
        "localhost",
        "friend",
        "198.51.100.24",
        "a_b c.example",
        "-",
        "[198.51.100.300]",
        "[198.51.100.24",
    ],
)
async def test_what_is_no_host_name_is_invalid_without_asking_anybody(helo: str) -> None:
    dns = zone()
    assert told(await check_helo(seen(helo=helo), dns)) == [("helo.invalid", Result.FAIL)]
    assert dns.queries == []


async def test_literal_of_the_client_itself_is_fine_and_of_another_is_not() -> None:
    own = await check_helo(seen(helo="[198.51.100.24]"), zone())
    assert told(own) == [("helo.unresolvable", Result.PASS)]
    six = seen(ip="2001:db8::7", helo="[IPv6:2001:DB8:0::7]")
    assert told(await check_helo(six, zone())) == [("helo.unresolvable", Result.PASS)]
    # Behind an address translator it is honest (RFC 5321 §4.1.4).
    other = await check_helo(seen(helo="[192.0.2.1]"), zone())
    assert told(other) == [("helo.unresolvable", Result.NOTE)]


async def test_whoever_calls_itself_by_our_name_is_not_us() -> None:
    found = await check_helo(seen(helo="MX.harbour.example"), zone())
    assert told(found) == [("helo.own-name", Result.FAIL)]


async def test_name_without_an_address_is_unresolvable_and_silence_is_not() -> None:
    dns = zone()
    nowhere = await check_helo(seen(helo="nowhere.tea.example"), dns)
    assert told(nowhere) == [("helo.unresolvable", Result.FAIL)]
    dns.time_out("nowhere.tea.example", "AAAA")
    silent = await check_helo(seen(helo="nowhere.tea.example"), dns)
    assert told(silent) == [("helo.couldnt-tell", Result.COULDNT_TELL)]


@pytest.mark.parametrize("helo", ["x" * 5000, "a\x1b[31m\r\nb", "\u202eevil"])
async def test_name_is_shown_short_and_harmless(helo: str) -> None:
    found = await check_helo(seen(helo=helo), zone())
    assert told(found) == [("helo.invalid", Result.FAIL)]
    assert len(found.findings[0].text) < 200


async def test_a_name_that_one_resolver_alone_misses_is_there() -> None:
    dns = zone()
    dns.add_second("new.tea.example", "A", "192.0.2.1")
    found = await check_helo(seen(helo="new.tea.example"), dns)
    assert told(found) == [("helo.unresolvable", Result.PASS)]
    dns.add_second("new.tea.example", "A", status=Status.SERVER_FAILURE)
    found = await check_helo(seen(helo="new.tea.example"), dns)
    assert told(found) == [("helo.couldnt-tell", Result.COULDNT_TELL)]


class Hanging(FakeResolver):
    """Home answers; the second resolver never does."""

    async def confirm(self, answer: Answer) -> Answer:
        await asyncio.Event().wait()
        return answer


async def test_a_second_resolver_that_hangs_keeps_nobody_waiting_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONFIRM_S", 0.05)
    async with asyncio.timeout(10):
        found = await check_helo(seen(helo="nowhere.tea.example"), Hanging())
    assert told(found) == [("helo.couldnt-tell", Result.COULDNT_TELL)]
    (finding,) = found.findings
    assert finding.could_be == ("helo.unresolvable",)
    assert finding.text == (
        "the name nowhere.tea.example that it gives itself could not be looked up: fake found"
        " nothing, and that was not confirmed in time (nowhere.tea.example A)"
    )
