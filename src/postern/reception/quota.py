"""Whether a recipient's mailboxes have room: what becomes of mail to one that is full.

Counts for everybody who sends: strangers, our users, this machine. ``postmaster`` is always
written to. Where an address leads to several places a full mailbox does not take the mail from
the others: it gets its copy up to a tenth over its limit, and beyond that the address says "not
now". What was accepted is delivered, however full a mailbox has become.
"""

import asyncio
from collections.abc import Awaitable, Sequence

from postern.delivery.room import Measure, Room
from postern.directory.resolution import Resolved
from postern.mail.address import Address
from postern.mail.finding import Effect, Finding, Result, Verdict, Whose
from postern.mail.reply import Reply, reply
from postern.policy.recipient import is_postmaster

ACCEPTED = Verdict(Effect.ACCEPT, reply(250, "2.1.5", "Recipient ok"))
_UNTOLD = Finding(
    "quota.couldnt-tell",
    Result.COULDNT_TELL,
    "nobody could tell in time how full the mailbox is; the mail was taken",
    Whose.US,
)
_TAKEN_UNTOLD = Verdict(Effect.ACCEPT, ACCEPTED.reply, _UNTOLD)


def weigh_room(
    measure: Measure, named: Address, resolved: Resolved, size_bytes: int
) -> Verdict | Awaitable[Verdict]:
    """The verdict for a recipient that is there, or its promise where a store must be asked.

    Args:
        measure: knows how full mailboxes are.
        named: as RCPT named it.
        resolved: where its mail goes.
        size_bytes: what MAIL declared (RFC 1870); 0 when it did not.
    """
    if is_postmaster(named):
        return ACCEPTED
    found = [measure.room(store, size_bytes) for store in resolved.stores]
    rooms = [room for room in found if isinstance(room, Room)]
    if len(rooms) == len(found):
        return _verdict(named, rooms, len(resolved.destinations))
    return _weigh_later(named, found, len(resolved.destinations))


async def _weigh_later(
    named: Address, found: Sequence[Room | Awaitable[Room]], places: int
) -> Verdict:
    rooms = [room for room in found if isinstance(room, Room)]
    rooms += await asyncio.gather(*(room for room in found if not isinstance(room, Room)))
    return _verdict(named, rooms, places)


def _verdict(named: Address, rooms: Sequence[Room], places: int) -> Verdict:
    worst = max(rooms, default=Room.ENOUGH)
    if worst is Room.NEVER:
        text = f"the message is larger than all that the mailbox of {named} may hold"
        return _refused(Effect.REFUSE, Reply(552, "5.2.2", (f"Not accepted: {text}",)), text)
    is_full = all(room >= Room.FULL for room in rooms) and len(rooms) == places
    if worst is Room.OVERFULL or (worst is Room.FULL and is_full):
        text = f"the mailbox of {named} is full"
        told = (
            f"Not accepted now: {text}.",
            "Its owner must make room. Your server will try again by itself.",
        )
        return _refused(Effect.REFUSE_FOR_NOW, Reply(452, "4.2.2", told), text)
    return _TAKEN_UNTOLD if worst is Room.UNKNOWN else ACCEPTED


def _refused(effect: Effect, told: Reply, text: str) -> Verdict:
    return Verdict(effect, told, Finding("quota.full", Result.FAIL, text, Whose.RECIPIENT))
