"""A client to look at, and a zone it comes from."""

from dataclasses import replace

from tests.policy.making import address

from postern.mail.finding import Result
from postern.policy.checks.check import Found, Seen
from postern.runtime.resolver.fake import FakeResolver

IP = "198.51.100.24"
SEEN = Seen(IP, "mx.harbour.example", "mail.tea.example", address("li@tea.example"), 1.75e9)


def seen(**changes: object) -> Seen:
    """The client of tea.example, or one that differs a little."""
    return replace(SEEN, **changes)  # type: ignore[arg-type]  # a test's own words


def zone() -> FakeResolver:
    """tea.example as it should be."""
    dns = FakeResolver()
    dns.add("24.100.51.198.in-addr.arpa", "PTR", "mail.tea.example")
    dns.add("mail.tea.example", "A", IP)
    dns.add("tea.example", "MX", "10 mail.tea.example")
    dns.add("tea.example", "TXT", f"v=spf1 ip4:{IP} -all")
    return dns


def told(found: Found) -> list[tuple[str, Result]]:
    """Ids and results, in order; every text is a sentence without its full stop."""
    for finding in found.findings:
        assert finding.text
        assert not finding.text.endswith(".")
        assert finding.text.isprintable()
    return [(finding.check, finding.result) for finding in found.findings]
