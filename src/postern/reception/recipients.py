"""One RCPT: whose address is it, and may this client send to it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from postern.delivery.room import Measure
from postern.directory.resolution import (
    Destination,
    Disabled,
    Gateway,
    NoSuchMailbox,
    NotOurs,
    Resolution,
    Resolved,
    Via,
)
from postern.directory.return_addresses import ReturnAddresses
from postern.mail.address import Address
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.mail.reply import reply
from postern.mail.srs import SrsFlaw, is_srs
from postern.reception.quota import ACCEPTED, weigh_room


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict for one recipient, and where its mail goes when it is accepted."""

    verdict: Verdict
    destinations: tuple[Destination, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """True when there is such a recipient, and nothing speaks against it so far."""
        return self.verdict.effect is Effect.ACCEPT


class Directory(Protocol):
    """Who lives here."""

    def resolve(self, address: Address) -> Resolution:
        """Whose the address is; from memory or one look at the database."""
        ...

    def is_this_host(self, domain: str) -> bool:
        """Whether that is the name of the server itself."""
        ...


class Verifier(Protocol):
    """Asks a customer's own server whether it has a mailbox."""

    def cached(self, gateway: Gateway, address: Address) -> Verdict | None:
        """What is known already."""
        ...

    def ask(self, gateway: Gateway, address: Address) -> Awaitable[Verdict]:
        """Ask the server."""
        ...


class Recipients:
    """Decides about recipients, one at a time."""

    def __init__(
        self,
        directory: Directory,
        verifier: Verifier,
        measure: Measure | None = None,
        returns: ReturnAddresses | None = None,
    ) -> None:
        self._returns = returns
        self._directory = directory
        self._verifier = verifier
        self._measure = measure

    def decide(
        self, address: Address, size_bytes: int, *, trusted: bool
    ) -> Decision | Awaitable[Decision]:
        """The decision, or its promise where another server must be asked.

        Args:
            address: as RCPT named it.
            size_bytes: what MAIL declared (RFC 1870); 0 when it did not.
            trusted: the client may send to anyone (authenticated, ``relay_from``, this machine).
        """
        resolution = self._directory.resolve(address)
        if is_srs(address.local) and self._is_here(resolution, address.domain):
            return self._returned(resolution, address, size_bytes, trusted=trusted)
        return self._decide(resolution, address, size_bytes, trusted=trusted)

    def _is_here(self, resolution: Resolution, domain: str) -> bool:
        return not isinstance(resolution, NotOurs) or self._directory.is_this_host(domain)

    def _decide(
        self, resolution: Resolution, address: Address, size_bytes: int, *, trusted: bool
    ) -> Decision | Awaitable[Decision]:
        match resolution:
            case Resolved(destinations=destinations):
                measure = self._measure
                if measure is None or not measure.concerns(resolution):
                    return Decision(ACCEPTED, destinations)
                found = weigh_room(measure, address, resolution, size_bytes)
                if isinstance(found, Verdict):
                    return Decision(found, destinations)
                return _once(found, destinations)
            case Gateway():
                verdict = self._verifier.cached(resolution, address)
                if verdict is None:
                    return self._ask(resolution, address)
                return _at_gateway(verdict, address)
            case NotOurs() if trusted:
                return Decision(ACCEPTED, (Destination(address, local=False),))
            case NotOurs():
                return Decision(_refused("5.7.1", "rcpt.relay-denied", _relay_text(address)))
            case NoSuchMailbox():
                text = f"there is no mailbox {address} here; check the spelling"
                return Decision(_refused("5.1.1", "rcpt.unknown", text))
            case Disabled():
                text = f"the mailbox {address} is switched off"
                return Decision(_refused("5.2.1", "rcpt.unknown", text))

    def _returned(
        self, resolution: Resolution, address: Address, size_bytes: int, *, trusted: bool
    ) -> Decision | Awaitable[Decision]:
        """A return address of mail that we forwarded: who sent it gets what comes back.

        A mailbox, an alias or a customer's own server may bear such a name without our doing.
        """
        flaw = SrsFlaw("nothing is forwarded from here")
        found = flaw if self._returns is None else self._returns.read(address.local)
        if isinstance(found, SrsFlaw):
            if _bears_the_name(resolution):
                return self._decide(resolution, address, size_bytes, trusted=trusted)
            text = f"{address} is no return address of ours: {found.text}"
            return Decision(_refused("5.1.1", "rcpt.unknown", text))
        if isinstance(self._directory.resolve(found), NotOurs):
            return Decision(ACCEPTED, (Destination(found, local=False, outside=True),))
        # Its sender lives here, or it was forwarded by two domains of ours, one after the other;
        # what is left to read is shorter each time.
        return self.decide(found, size_bytes, trusted=trusted)

    async def _ask(self, gateway: Gateway, address: Address) -> Decision:
        return _at_gateway(await self._verifier.ask(gateway, address), address)


def _bears_the_name(resolution: Resolution) -> bool:
    """Whether the address is somebody's own, and not what is left over for a catch-all."""
    if isinstance(resolution, Resolved):
        return resolution.via not in {Via.CATCH_ALL, Via.POSTMASTER}
    return isinstance(resolution, Gateway | Disabled)


async def _once(verdict: Awaitable[Verdict], destinations: tuple[Destination, ...]) -> Decision:
    return Decision(await verdict, destinations)


def _at_gateway(verdict: Verdict, address: Address) -> Decision:
    if verdict.effect is Effect.ACCEPT:
        return Decision(verdict, (Destination(address, local=False),))
    return Decision(verdict)


def _relay_text(address: Address) -> str:
    where = address.domain or "that domain"
    return f"mail for {where} is not handled here, and you have not signed in"


def _refused(enhanced: str, check: str, text: str) -> Verdict:
    return Verdict(
        Effect.REFUSE,
        reply(550, enhanced, f"Not accepted: {text}"),
        Finding(check, Result.FAIL, text, Whose.SENDER),
    )
