"""The checks that a configuration asks for, run as a worker runs them."""

from pathlib import Path

from tests.policy.checks.asking import seen, told, zone
from tests.policy.making import address

from postern.app.judging import Judging
from postern.directory.store.site import SiteStore
from postern.mail.finding import Result
from postern.policy.checks.check import Found
from postern.policy.checks.zones import About, Zone
from postern.policy.panel import Examination
from postern.policy.policy import Memory
from postern.policy.rules.store import Books
from postern.policy.settings import PolicySettings
from postern.policy.uses import Uses
from postern.runtime.clock import FakeClock
from postern.runtime.resolver.fake import FakeResolver


async def listings(folder: Path, dns: FakeResolver, *zones: Zone) -> list[tuple[str, Result]]:
    """What block lists say of mail from tea.example."""
    clock = FakeClock()
    site = SiteStore.open(folder, clock, "test")
    settings = PolicySettings(zones)
    judging = Judging(settings, dns, Memory(Books(site.database, clock), Uses()), clock)
    await judging.test_zones()
    examination = Examination(judging.policy.checks, seen(helo="", mail_from=None), clock)
    examination.hello("mail.tea.example")
    examination.mail(address("li@tea.example"))
    known = await examination.known()
    examination.end()
    site.close()
    return told(Found(tuple(one for one in known.findings if one.family == "dnsbl")))


async def test_lists_of_names_are_asked_of_the_sender_beside_lists_of_addresses(
    tmp_path: Path,
) -> None:
    dns = zone()
    lists = (Zone("bl.example"), Zone("names.example", About.NAMES))
    dns.add("2.0.0.127.bl.example", "A", "127.0.0.2")
    dns.add("test.names.example", "A", "127.0.0.2")
    dns.add("tea.example.names.example", "A", "127.0.0.2")
    assert await listings(tmp_path, dns, *lists) == [
        ("dnsbl.listed", Result.PASS),
        ("dnsbl.listed", Result.FAIL),
    ]
    asked = {question.name for question in dns.queries}
    assert "mail.tea.example.names.example" in asked


async def test_without_a_list_of_names_no_name_is_asked_of_any(tmp_path: Path) -> None:
    dns = zone()
    dns.add("2.0.0.127.bl.example", "A", "127.0.0.2")
    assert await listings(tmp_path, dns, Zone("bl.example")) == [("dnsbl.listed", Result.PASS)]
    assert not [q for q in dns.queries if q.name.startswith("tea.example.bl")]
