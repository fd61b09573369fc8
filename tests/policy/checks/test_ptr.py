import pytest
from tests.policy.checks.asking import IP, seen, told, zone

from postern.mail.dns import Status
from postern.mail.finding import Result, Whose
from postern.policy.checks.ptr import MAX_NAMES, check_ptr

REVERSE = "24.100.51.198.in-addr.arpa"


async def test_name_that_leads_back_is_the_clients_name() -> None:
    found = await check_ptr(seen(), zone())
    assert told(found) == [("ptr.missing", Result.PASS)]
    assert found.ptr == "mail.tea.example"


@pytest.mark.parametrize("status", [Status.NO_NAME, Status.NO_DATA])
async def test_address_without_a_name_is_missing(status: Status) -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", status=status)
    found = await check_ptr(seen(), dns)
    assert told(found) == [("ptr.missing", Result.FAIL)]
    assert IP in found.findings[0].text
    assert found.ptr == ""


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
async def test_silence_is_couldnt_tell_and_lies_between(status: Status) -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", status=status)
    found = await check_ptr(seen(), dns)
    assert told(found) == [("ptr.couldnt-tell", Result.COULDNT_TELL)]
    assert found.findings[0].whose is Whose.BETWEEN
    assert found.findings[0].place == "fake"


async def test_name_that_leads_elsewhere_is_a_mismatch() -> None:
    dns = zone()
    dns.add("mail.tea.example", "A", "192.0.2.1")
    assert told(await check_ptr(seen(), dns)) == [("ptr.mismatch", Result.FAIL)]


async def test_one_of_several_names_that_leads_back_is_enough() -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", "old.tea.example", "Mail.Tea.Example")
    dns.time_out("old.tea.example", "A")
    assert (await check_ptr(seen(), dns)).ptr == "mail.tea.example"


async def test_silent_name_may_have_been_the_one_that_leads_back() -> None:
    dns = zone()
    dns.fail("mail.tea.example", "A")
    found = await check_ptr(seen(), dns)
    assert told(found) == [("ptr.couldnt-tell", Result.COULDNT_TELL)]
    assert found.findings[0].could_be == ("ptr.mismatch",)


async def test_ipv6_client_is_looked_up_by_its_nibbles_and_in_aaaa() -> None:
    dns = zone()
    reverse = "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
    dns.add(reverse, "PTR", "six.tea.example")
    dns.add("six.tea.example", "AAAA", "2001:db8::7")
    assert (await check_ptr(seen(ip="2001:db8::7"), dns)).ptr == "six.tea.example"


async def test_thousand_names_cost_ten_questions() -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", *(f"n{number}.tea.example" for number in range(1000)))
    assert told(await check_ptr(seen(), dns)) == [("ptr.mismatch", Result.FAIL)]
    assert len(dns.queries) == 1 + MAX_NAMES


async def test_record_that_is_no_host_name_is_a_mismatch_and_not_missing() -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", "a b\r\nX: y", "_" * 300)
    assert told(await check_ptr(seen(), dns)) == [("ptr.mismatch", Result.FAIL)]


async def test_a_name_that_one_resolver_alone_misses_is_not_missing() -> None:
    dns = zone()
    dns.add(REVERSE, "PTR", status=Status.NO_NAME)
    dns.add_second(REVERSE, "PTR", status=Status.NO_NAME)
    assert told(await check_ptr(seen(), dns)) == [("ptr.missing", Result.FAIL)]
    dns.add_second(REVERSE, "PTR", status=Status.TIMEOUT)
    found = await check_ptr(seen(), dns)
    assert told(found) == [("ptr.couldnt-tell", Result.COULDNT_TELL)]
    assert "fake found nothing, and second could not confirm that" in found.findings[0].text
    dns.add_second(REVERSE, "PTR", "mail.tea.example")
    found = await check_ptr(seen(), dns)
    assert found.ptr == "mail.tea.example"
    assert found.findings[0].text.endswith("fake found nothing there")


async def test_a_way_back_that_one_resolver_alone_misses_is_there() -> None:
    dns = zone()
    dns.add("mail.tea.example", "A", status=Status.NO_NAME)
    dns.add_second("mail.tea.example", "A", IP)
    assert (await check_ptr(seen(), dns)).ptr == "mail.tea.example"
