import asyncio

import pytest
from tests.policy.checks.asking import IP, seen, told, zone

from postern.mail.dns import Answer, Question, Status
from postern.mail.finding import Result, Whose
from postern.policy.checks import dnsbl as module
from postern.policy.checks.dnsbl import check_dnsbl, check_names, names_of
from postern.policy.checks.zones import MAX_SILENCES, About, Health, Zone, Zones
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

LISTED = "24.100.51.198.bl.example"
FAIL = ("dnsbl.listed", Result.FAIL)
NOTE = ("dnsbl.listed", Result.NOTE)
PASS = ("dnsbl.listed", Result.PASS)
UNTOLD = ("dnsbl.couldnt-tell", Result.COULDNT_TELL)


async def ready(*zones: Zone) -> tuple[Zones, FakeResolver]:
    """Lists that have passed their test."""
    dns = FakeResolver()
    for one in zones:
        label = "test" if one.about is About.NAMES else "2.0.0.127"
        dns.add(f"{label}.{one.name}", "A", "127.0.0.2")
    made = Zones(zones, FakeClock())
    await made.test_due(dns)
    return made, dns


async def test_client_on_no_list_passes_and_without_lists_there_is_nothing_to_tell() -> None:
    zones, dns = await ready(Zone("bl.example"))
    assert told(await check_dnsbl(IP, zones, dns)) == [PASS]
    zones, dns = await ready()
    assert told(await check_dnsbl(IP, zones, dns)) == []


async def test_listing_says_which_list_and_what_the_list_says_of_it() -> None:
    zones, dns = await ready(Zone("bl.example"))
    dns.add(LISTED, "A", "127.0.0.2")
    dns.add(LISTED, "TXT", "spam source,\r\nsee https://bl.example/24")
    found = await check_dnsbl(IP, zones, dns)
    assert told(found) == [FAIL]
    text = found.findings[0].text
    assert text.startswith(f"{IP} is on the blocklist bl.example (spam source,")
    assert "\n" not in text


async def test_weights_add_up_to_the_threshold_and_white_lists_take_away() -> None:
    zones, dns = await ready(
        Zone("bl.example", weight=0.6),
        Zone("two.example", weight=0.6),
        Zone("wl.example", allow=True),
    )
    dns.add(LISTED, "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [NOTE]
    dns.add("24.100.51.198.two.example", "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [FAIL, FAIL]
    assert told(await check_dnsbl(IP, zones, dns, threshold=2.0)) == [NOTE, NOTE]
    dns.add("24.100.51.198.wl.example", "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [NOTE, NOTE, PASS]


async def test_white_list_is_never_the_reason_to_refuse() -> None:
    zones, dns = await ready(
        Zone("wl.example", weight=0.5, allow=True), Zone("bl.example", weight=2)
    )
    dns.add(LISTED, "A", "127.0.0.2")
    dns.add("24.100.51.198.wl.example", "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [PASS, FAIL]


async def test_tenths_add_up_and_a_list_counts_once_whatever_it_lists() -> None:
    zones, dns = await ready(*(Zone(f"{n}.example", weight=n / 10) for n in (7, 2, 1)))
    for number in (7, 2, 1):
        dns.add(f"24.100.51.198.{number}.example", "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [FAIL, FAIL, FAIL]
    zones, dns = await ready(Zone("names.example", About.NAMES, weight=0.6))
    for name in ("tea.example", "shop.example"):
        dns.add(f"{name}.names.example", "A", "127.0.0.2")
    assert told(await check_names(["tea.example", "shop.example"], zones, dns)) == [NOTE, NOTE]


async def test_codes_for_too_many_questions_are_no_entries() -> None:
    for code in ("127.0.0.1", "127.0.0.255"):
        zones, dns = await ready(Zone("bl.example"))
        dns.add(LISTED, "A", code)
        assert told(await check_dnsbl(IP, zones, dns)) == [UNTOLD]


async def test_answer_counts_by_its_meaning_where_meanings_were_given() -> None:
    zones, dns = await ready(Zone("bl.example", meanings={"127.0.0.4": "open relay"}))
    dns.add(LISTED, "A", "127.0.0.10")
    assert told(await check_dnsbl(IP, zones, dns)) == [NOTE]
    dns.add(LISTED, "A", "127.0.0.10", "127.0.0.4")
    found = await check_dnsbl(IP, zones, dns)
    assert told(found) == [FAIL]
    assert "open relay" in found.findings[0].text


async def test_list_that_refuses_or_is_silent_fails_nobody_and_leaves() -> None:
    zones, dns = await ready(Zone("bl.example"), Zone("two.example"))
    dns.add(LISTED, "A", "127.255.255.254")
    dns.time_out("24.100.51.198.two.example", "A")
    found = await check_dnsbl(IP, zones, dns)
    assert told(found) == [UNTOLD, UNTOLD]
    assert {finding.whose for finding in found.findings} == {Whose.US}
    assert zones.health == {"bl.example": Health.REFUSES, "two.example": Health.GOOD}
    dns.time_out("1.0.0.127.two.example", "A")
    await zones.test_due(dns)
    assert zones.health == {"bl.example": Health.REFUSES, "two.example": Health.SILENT}
    assert told(await check_dnsbl(IP, zones, dns)) == []


async def test_ipv6_client_is_asked_for_by_its_nibbles() -> None:
    zones, dns = await ready(Zone("bl.example"))
    dns.add("7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.example", "A", "127.0.0.2")
    assert told(await check_dnsbl("2001:db8::7", zones, dns)) == [FAIL]


async def test_names_are_asked_of_lists_of_names_and_only_a_few() -> None:
    zones, dns = await ready(Zone("bl.example"), Zone("names.example", About.NAMES))
    dns.add("tea.example.names.example", "A", "127.0.0.2")
    assert told(await check_names(["tea.example", "", "tea.example"], zones, dns)) == [FAIL]
    before = len(dns.queries)
    await check_names((f"n{number}.example" for number in range(1000)), zones, dns)
    assert len(dns.queries) - before == 5


async def test_resolvers_abroad_are_never_asked() -> None:
    class Home(FakeResolver):
        async def ask(self, question, *, foreign_ok=True):  # type: ignore[no-untyped-def]  # as above it
            assert not foreign_ok
            return await super().ask(question, foreign_ok=foreign_ok)

    zones, _ = await ready(Zone("bl.example"))
    dns = Home()
    dns.add(LISTED, "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [FAIL]


async def test_answer_counts_by_its_code_where_weights_were_given() -> None:
    zones, dns = await ready(
        Zone("bl.example", weight=2.0, meanings={"127.0.0.4": "relay"}, weights={"127.0.0.10": 0.3})
    )
    for codes, result in [
        (["127.0.0.10"], NOTE),
        (["127.0.0.4"], FAIL),  # it has a meaning, and the list's own weight
        (["127.0.0.10", "127.0.0.4"], FAIL),
        (["127.0.0.9"], NOTE),
    ]:
        dns.add(LISTED, "A", *codes)
        assert told(await check_dnsbl(IP, zones, dns)) == [result], codes


class Hanging(FakeResolver):
    """A resolver that never hears from some zones."""

    def __init__(self, *zones: str) -> None:
        super().__init__()
        self.zones = zones

    async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
        if question.name.endswith(self.zones):
            await asyncio.Event().wait()
        return await super().ask(question, foreign_ok=foreign_ok)


async def test_list_that_hangs_takes_nothing_from_the_others_and_leaves_after_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ZONE_LIMIT_S", 0.05)
    zones, _ = await ready(Zone("bl.example"), Zone("dead.example"))
    dns = Hanging("dead.example")
    dns.add(LISTED, "A", "127.0.0.2")
    for _ in range(MAX_SILENCES):
        assert told(await check_dnsbl(IP, zones, dns)) == [FAIL, UNTOLD]
    assert zones.health == {"bl.example": Health.GOOD, "dead.example": Health.SILENT}
    assert told(await check_dnsbl(IP, zones, dns)) == [FAIL]  # nobody waits for it any more


async def test_list_that_answers_now_and_then_stays() -> None:
    zones, dns = await ready(Zone("bl.example"))
    for _ in range(5):
        dns.time_out(LISTED, "A")
        assert told(await check_dnsbl(IP, zones, dns)) == [UNTOLD]
        dns.add(LISTED, "A", status=Status.NO_NAME)
        assert told(await check_dnsbl(IP, zones, dns)) == [PASS]
    assert zones.health == {"bl.example": Health.GOOD}


async def test_what_a_list_says_of_an_entry_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REASON_LIMIT_S", 0.05)

    class Quiet(FakeResolver):
        async def ask(self, question: Question, *, foreign_ok: bool = True) -> Answer:
            if question.type == "TXT":
                await asyncio.Event().wait()
            return await super().ask(question, foreign_ok=foreign_ok)

    zones, _ = await ready(Zone("bl.example"))
    dns = Quiet()
    dns.add(LISTED, "A", "127.0.0.2")
    assert told(await check_dnsbl(IP, zones, dns)) == [FAIL]


async def test_names_are_the_senders_the_clients_own_word_and_its_reverse_names() -> None:
    dns = zone()
    dns.add("24.100.51.198.in-addr.arpa", "PTR", "mail.tea.example", "a b")
    client = seen(helo="Srv.Offers.Example.")
    assert await names_of(client, dns) == [
        "tea.example", "srv.offers.example", "mail.tea.example",
    ]  # fmt: skip
    assert await names_of(seen(helo="[198.51.100.24]", mail_from=None), FakeResolver()) == []
