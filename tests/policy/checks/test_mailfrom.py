import pytest
from tests.policy.checks.asking import seen, told, zone
from tests.policy.making import address

from postern.mail.dns import Status
from postern.mail.finding import Result
from postern.policy.checks.mailfrom import MAX_HOSTS, check_mailfrom
from postern.runtime.resolver.fake import FakeResolver

NO_MX = ("mailfrom.no-mx", Result.FAIL)
SILENT = ("mailfrom.dns-timeout", Result.COULDNT_TELL)


async def test_domain_with_mail_servers_is_fine() -> None:
    assert told(await check_mailfrom(seen(), zone())) == [("mailfrom.no-mx", Result.PASS)]


async def test_domain_that_does_not_exist() -> None:
    dns = zone()
    dns.add("tea.example", "MX", status=Status.NO_NAME)
    found = await check_mailfrom(seen(), dns)
    assert told(found) == [("mailfrom.no-domain", Result.FAIL)]
    assert "tea.example" in found.findings[0].text


@pytest.mark.parametrize("status", [Status.SERVER_FAILURE, Status.TIMEOUT])
async def test_silence_is_never_no_mx(status: Status) -> None:
    dns = zone()
    dns.add("tea.example", "MX", status=status)
    assert told(await check_mailfrom(seen(), dns)) == [SILENT]


async def test_domain_without_mx_takes_mail_at_its_address() -> None:
    dns = zone()
    dns.add("tea.example", "MX", status=Status.NO_DATA)
    assert told(await check_mailfrom(seen(), dns)) == [NO_MX]
    dns.add("tea.example", "AAAA", "2001:db8::7")
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.PASS)]


async def test_null_mx_means_that_there_is_no_mail() -> None:
    dns = zone()
    dns.add("tea.example", "MX", "0 .")
    assert told(await check_mailfrom(seen(), dns)) == [NO_MX]


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.1.1", "::ffff:127.0.0.1"]
)
async def test_mail_servers_that_lead_back_to_whoever_asks_are_none(ip: str) -> None:
    dns = zone()
    dns.add("mail.tea.example", "A", ip)
    assert told(await check_mailfrom(seen(), dns)) == [NO_MX]


async def test_one_host_that_can_be_reached_is_enough_and_a_silent_one_may_be_it() -> None:
    dns = zone()
    dns.add("tea.example", "MX", "10 gone.tea.example", "20 quiet.tea.example")
    dns.time_out("quiet.tea.example", "A")
    assert told(await check_mailfrom(seen(), dns)) == [SILENT]
    dns.add("gone.tea.example", "A", "192.0.2.1")
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.PASS)]


async def test_thousand_hosts_cost_few_questions_and_nothing_bad_is_said_of_the_rest() -> None:
    dns = zone()
    dns.add("tea.example", "MX", *(f"{n} h{n}.tea.example" for n in range(1000)))
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.NOTE)]
    assert len(dns.queries) == 1 + 2 * MAX_HOSTS


async def test_host_that_is_listed_again_and_again_is_looked_at_once() -> None:
    dns = zone()
    again = [f"{n} dead.tea.example" for n in range(50)]
    dns.add("tea.example", "MX", *again, "99 mail.tea.example")
    found = await check_mailfrom(seen(), dns)
    assert told(found) == [("mailfrom.no-mx", Result.PASS), ("mailfrom.no-mx", Result.NOTE)]
    assert "dead.tea.example more than once" in found.findings[1].text


@pytest.mark.parametrize("sender", [None, address("li@[198.51.100.24]")])
async def test_null_sender_and_literal_have_no_domain_to_look_at(sender: object) -> None:
    dns = zone()
    assert told(await check_mailfrom(seen(mail_from=sender), dns)) == []
    assert dns.queries == []


# --- what one resolver alone says is not there ---------------------------------------------------


async def test_a_domain_that_two_resolvers_do_not_know_does_not_exist() -> None:
    dns = FakeResolver()
    dns.add_second("tea.example", "MX", status=Status.NO_NAME)
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-domain", Result.FAIL)]


async def test_a_domain_that_only_the_second_resolver_knows_is_there_and_that_is_told() -> None:
    dns = FakeResolver()
    dns.add_second("tea.example", "MX", "10 mail.tea.example")
    dns.add_second("mail.tea.example", "A", "198.51.100.24")
    found = await check_mailfrom(seen(), dns)
    assert told(found) == [("mailfrom.no-mx", Result.PASS)]
    assert found.findings[0].text.endswith("fake found nothing there")


async def test_a_domain_that_the_second_resolver_could_not_tell_of_is_couldnt_tell() -> None:
    dns = FakeResolver()
    dns.add_second("tea.example", "MX", status=Status.SERVER_FAILURE)
    found = await check_mailfrom(seen(), dns)
    assert told(found) == [("mailfrom.dns-timeout", Result.COULDNT_TELL)]
    assert "fake found nothing, and second could not confirm that" in found.findings[0].text


async def test_mx_that_only_the_second_resolver_sees_counts() -> None:
    dns = FakeResolver()
    dns.add("tea.example", "TXT", "the name is there, and has neither MX nor address")
    dns.add("mail.tea.example", "A", "198.51.100.24")
    dns.add_second("tea.example", "MX", "10 mail.tea.example")
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.PASS)]
    dns.add_second("tea.example", "MX", status=Status.TIMEOUT)
    assert told(await check_mailfrom(seen(), dns)) == [
        ("mailfrom.dns-timeout", Result.COULDNT_TELL)
    ]
    dns.add_second("tea.example", "MX", status=Status.NO_DATA)
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.FAIL)]


async def test_addresses_of_mail_servers_are_confirmed_too() -> None:
    dns = zone()
    dns.add("tea.example", "MX", "10 gone.tea.example")
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.FAIL)]
    dns.add_second("gone.tea.example", "AAAA", status=Status.TIMEOUT)
    assert told(await check_mailfrom(seen(), dns)) == [
        ("mailfrom.dns-timeout", Result.COULDNT_TELL)
    ]
    dns.add_second("gone.tea.example", "AAAA", "2001:db8::24")
    assert told(await check_mailfrom(seen(), dns)) == [("mailfrom.no-mx", Result.PASS)]
