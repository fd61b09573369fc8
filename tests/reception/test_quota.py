"""Full mailboxes at RCPT: who is refused for now, who gets it over the limit, who is not asked."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from tests.reception.rig import LOOPBACK, Client, Make, Rig, listener

from postern.delivery.room import Room
from postern.directory.model import DomainPatch, MailboxPatch
from postern.directory.resolution import Resolved, Store
from postern.mail.address import Address
from postern.reception.callahead import CallAhead
from postern.reception.recipients import Recipients

WANG = "wang@harbour.example"
LI = "li@harbour.example"
MESSAGE = b"Subject: tea\r\n\r\nHello\r\n"


@dataclass
class Figures:
    """In place of a store: how much room each mailbox has, at once or a moment later."""

    rooms: dict[str, Room] = field(default_factory=dict)
    is_slow: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)
    asks_always: bool = False

    def concerns(self, resolved: Resolved) -> bool:
        return resolved.has_quota or self.asks_always

    def room(self, store: Store, size_bytes: int) -> Room | Awaitable[Room]:
        self.asked.append((str(store.address), size_bytes))
        found = self.rooms.get(str(store.address), Room.ENOUGH)
        return self._later(found) if self.is_slow else found

    async def _later(self, room: Room) -> Room:
        return room


@asynccontextmanager
async def measured(make: Make, figures: Figures) -> AsyncIterator[tuple[Rig, Client]]:
    async with make(listener(relay_from=LOOPBACK)) as rig:
        verifier = CallAhead(rig.gate, rig.gate, rig.clock)
        recipients = Recipients(rig.directory, verifier, figures)
        rig.reception.reload(replace(rig.services, recipients=recipients), rig.certificates)
        rig.site.set_mailbox(WANG, MailboxPatch(quota_bytes=1000))
        rig.site.set_mailbox(LI, MailboxPatch(quota_bytes=1000))
        rig.site.add_alias("both@harbour.example", [WANG, LI])
        client = await rig.connect()
        await client.hello()
        yield rig, client


async def rcpt(client: Client, to: str, size: int = 0) -> str:
    declared = f" SIZE={size}" if size else ""
    assert (await client.say(f"MAIL FROM:<a@far.example>{declared}")).startswith("250")
    said = await client.say(f"RCPT TO:<{to}>")
    await client.say("RSET")
    return said


@pytest.mark.parametrize("slow", [False, True])
async def test_a_full_mailbox_is_not_now_with_its_check_and_code(make: Make, *, slow: bool) -> None:
    figures = Figures({WANG: Room.FULL}, is_slow=slow)
    async with measured(make, figures) as (rig, client):
        first, second = (await rcpt(client, "wang+shop@harbour.example", 77)).splitlines()
        assert first == (
            "452-4.2.2 Not accepted now: the mailbox of wang+shop@harbour.example is full."
        )
        assert second.startswith("452 4.2.2 Its owner must make room.")
        assert second.rpartition(" ")[2].startswith("PT-")
        assert figures.asked == [(WANG, 77)]
        await client.say("QUIT")
        await rig.wait_idle()
        (told,) = rig.told
        assert told.because is not None
        assert (told.because.check, told.because.whose) == ("quota.full", "recipient")
        assert told.recipients[0].state == "refused-for-now"
        assert rig.services.tally.refusals["quota.full"] == 1


async def test_what_can_never_fit_is_refused_for_good(make: Make) -> None:
    async with measured(make, Figures({WANG: Room.NEVER})) as (_, client):
        assert (await rcpt(client, WANG, 5000)).startswith("552 5.2.2 Not accepted: ")


@pytest.mark.parametrize("slow", [False, True])
async def test_what_nobody_could_tell_is_taken_and_noted(make: Make, *, slow: bool) -> None:
    async with measured(make, Figures({WANG: Room.UNKNOWN}, is_slow=slow)) as (rig, client):
        assert (await client.deliver(MESSAGE)).startswith("250")
        steps = [(step.step, step.result) for step in rig.accepted[0].conversation.steps]
        assert ("quota.couldnt-tell", "couldnt-tell") in steps


@pytest.mark.parametrize(
    ("wang", "li", "to", "code"),
    [
        (Room.FULL, Room.ENOUGH, "both@harbour.example", "250"),  # gets it over its limit
        (Room.FULL, Room.FULL, "both@harbour.example", "452"),
        (Room.OVERFULL, Room.ENOUGH, "both@harbour.example", "452"),  # past the grace
        (Room.NEVER, Room.ENOUGH, "both@harbour.example", "552"),
        (Room.FULL, Room.UNKNOWN, "both@harbour.example", "250"),
        # sales leads to wang and to somebody outside, who wants his copy
        (Room.FULL, Room.ENOUGH, "sales@harbour.example", "250"),
        (Room.OVERFULL, Room.ENOUGH, "sales@harbour.example", "452"),
        (Room.ENOUGH, Room.FULL, "anyone@catch.example", "452"),
    ],
)
async def test_an_address_that_leads_to_several(
    make: Make, wang: Room, li: Room, to: str, code: str
) -> None:
    async with measured(make, Figures({WANG: wang, LI: li})) as (_, client):
        assert (await rcpt(client, to))[:3] == code


async def test_postmaster_is_always_written_to(make: Make) -> None:
    figures = Figures({WANG: Room.OVERFULL})
    async with measured(make, figures) as (rig, client):
        rig.site.add_alias("postmaster@harbour.example", [WANG])
        assert (await rcpt(client, "postmaster@harbour.example")).startswith("250")


async def test_who_has_no_limit_is_not_asked_for(make: Make) -> None:
    figures = Figures({"chen@harbour.example": Room.FULL})
    async with measured(make, figures) as (rig, client):
        assert (await rcpt(client, "chen@harbour.example")).startswith("250")
        assert (await rcpt(client, "friend@far.example")).startswith("250")
        assert figures.asked == []
        rig.site.set_domain("harbour.example", DomainPatch(quota_bytes=1))
        assert (await rcpt(client, "chen@harbour.example")).startswith("452")
        figures.asks_always = True
        rig.site.set_domain("harbour.example", DomainPatch(quota_bytes=None))
        assert (await rcpt(client, "chen@harbour.example")).startswith("452")


async def test_one_full_recipient_leaves_the_others(make: Make) -> None:
    async with measured(make, Figures({WANG: Room.FULL})) as (rig, client):
        assert (await client.say("MAIL FROM:<a@far.example>")).startswith("250")
        said = [await client.say(f"RCPT TO:<{to}>") for to in (WANG, LI)]
        assert [one[:3] for one in said] == ["452", "250"]
        await client.say("DATA")
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        (delivery,) = rig.accepted[0].deliveries
        assert delivery.recipient.address == Address("li", "harbour.example")
