import pytest
from tests.policy.checks.asking import zone as dns_of_tea

from postern.mail.dns import Status
from postern.policy.checks.zones import BAD_S, GOOD_S, About, Health, Zone, Zones
from postern.policy.checks.zones import test as ask_for_test_entries
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver

BL = Zone("bl.example")
NAMES = Zone("names.example", About.NAMES)


def healthy() -> FakeResolver:
    dns = dns_of_tea()
    dns.add("2.0.0.127.bl.example", "A", "127.0.0.2")
    dns.add("test.names.example", "A", "127.0.0.2")
    return dns


async def test_list_with_its_test_entry_and_without_the_other_is_good() -> None:
    assert await ask_for_test_entries(BL, healthy()) is Health.GOOD
    assert await ask_for_test_entries(NAMES, healthy()) is Health.GOOD


async def test_list_that_was_given_up_is_told_by_how_it_answers() -> None:
    dns = healthy()
    dns.add("1.0.0.127.bl.example", "A", "127.0.0.2")
    assert await ask_for_test_entries(BL, dns) is Health.LISTS_ALL
    dns = healthy()
    dns.add("2.0.0.127.bl.example", "A", status=Status.NO_NAME)
    assert await ask_for_test_entries(BL, dns) is Health.LISTS_NOTHING


@pytest.mark.parametrize("record", ["127.255.255.254", "203.0.113.80"])
async def test_refusal_and_parked_domain_are_no_entries(record: str) -> None:
    dns = healthy()
    dns.add("2.0.0.127.bl.example", "A", record)
    assert await ask_for_test_entries(BL, dns) is Health.REFUSES


async def test_silent_list_is_silent_and_not_empty() -> None:
    dns = healthy()
    dns.time_out("1.0.0.127.bl.example", "A")
    assert await ask_for_test_entries(BL, dns) is Health.SILENT


async def test_no_list_is_in_use_before_it_was_tested() -> None:
    zones = Zones([BL, NAMES], FakeClock())
    assert zones.in_use(About.ADDRESSES) == []
    await zones.test_due(healthy())
    assert zones.in_use(About.ADDRESSES) == [BL]
    assert zones.in_use(About.NAMES) == [NAMES]
    assert zones.health == {"bl.example": Health.GOOD, "names.example": Health.GOOD}


async def test_list_leaves_by_itself_and_comes_back_when_it_is_well() -> None:
    clock, dns = FakeClock(), healthy()
    zones = Zones([BL], clock)
    await zones.test_due(dns)
    zones.distrust(BL, Health.REFUSES)
    assert zones.in_use(About.ADDRESSES) == []
    await zones.test_due(dns)
    assert zones.in_use(About.ADDRESSES) == []  # not asked again at once
    clock.advance(BAD_S)
    await zones.test_due(dns)
    assert zones.in_use(About.ADDRESSES) == [BL]


async def test_list_that_was_silent_once_is_tested_before_it_has_to_leave() -> None:
    dns = healthy()
    zones = Zones([BL], FakeClock(1.0))
    await zones.test_due(dns)
    zones.distrust(BL, Health.SILENT)
    assert zones.in_use(About.ADDRESSES) == [BL]
    await zones.test_due(dns)
    assert zones.in_use(About.ADDRESSES) == [BL]
    zones.distrust(BL, Health.SILENT)
    dns.time_out("2.0.0.127.bl.example", "A")
    await zones.test_due(dns)
    assert zones.in_use(About.ADDRESSES) == []


async def test_good_list_is_tested_once_an_hour() -> None:
    clock, dns = FakeClock(), healthy()
    zones = Zones([BL], clock)
    await zones.test_due(dns)
    asked = len(dns.queries)
    clock.advance(GOOD_S - 1)
    await zones.test_due(dns)
    assert len(dns.queries) == asked
    dns.add("1.0.0.127.bl.example", "A", "127.0.0.2")
    clock.advance(1)
    await zones.test_due(dns)
    assert zones.health == {"bl.example": Health.LISTS_ALL}


async def test_list_that_is_named_twice_is_one_list() -> None:
    assert len(Zones([BL, Zone("bl.example", weight=2.0)], FakeClock()).health) == 1
