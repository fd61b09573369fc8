from dataclasses import dataclass

from postern.directory import resolution as directory_says
from postern.directory.model import Domain
from postern.directory.resolution import Destination, Resolution, Resolved, Via
from postern.mail.address import Address
from postern.routing.places import (
    DirectoryPlaces,
    GatewayDomain,
    LocalDomainUnknown,
    LocalMailbox,
    NotOurs,
    Place,
)


@dataclass
class FakeNames:
    """A directory with one domain."""

    known: Domain

    def refresh(self) -> bool:
        return False

    def domain(self, name: str) -> Domain | None:
        return self.known if name == self.known.name else None

    def resolve(self, address: Address) -> Resolution:
        if address == Address("postmaster", "mx.tea.test"):
            return Resolved((Destination(Address("wang", "tea.test"), local=True),), Via.POSTMASTER)
        return directory_says.NotOurs()

    def home_of(self, address: Address) -> str | None:
        if address.local.startswith("wang") and not self.known.is_gateway:
            return f"{self.known.name}/wang"
        return None


def place(local: str, domain: str, gateway: str | None = None, port: int | None = None) -> Place:
    known = Domain("1", "tea.test", 0.0, gateway_host=gateway, gateway_port=port)
    return DirectoryPlaces(FakeNames(known)).destination_of(Address(local, domain))


def test_mailbox_is_at_its_home_with_or_without_tag() -> None:
    assert place("wang", "tea.test") == LocalMailbox("tea.test/wang")
    assert place("wang+shop", "tea.test") == LocalMailbox("tea.test/wang")


def test_missing_mailbox_of_our_domain_is_unknown() -> None:
    assert place("li", "tea.test") == LocalDomainUnknown()


def test_gateway_domain_is_at_its_own_server() -> None:
    assert place("wang", "tea.test", "mail.tea.test", 2525) == GatewayDomain("mail.tea.test", 2525)
    assert place("wang", "tea.test", "mail.tea.test") == GatewayDomain("mail.tea.test", 25)


def test_other_domains_are_not_ours() -> None:
    assert place("wang", "coffee.test") == NotOurs()


def test_postmaster_of_the_host_is_at_home_in_a_mailbox() -> None:
    assert place("postmaster", "mx.tea.test") == LocalMailbox("tea.test/wang")
    assert place("root", "mx.tea.test") == NotOurs()
