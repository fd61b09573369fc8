"""Whom the sender of undeliverable mail may have meant: somebody near, whom his mail reached."""

import asyncio
from collections.abc import Callable, Sequence
from difflib import get_close_matches

import structlog

from postern.directory.correspondents import Correspondent
from postern.mail.address import Address
from postern.notices.notice import Meant
from postern.queue.contacts import SentMail
from postern.spool.message import Message, Origin

log = structlog.get_logger("postern.queue")

MAX_CANDIDATES = 500
LIKENESS = 0.7
"""Of ``difflib``: a letter or two in ten may differ."""
SEPARATORS = ".-_"

ReachedAt = Callable[[str, str, int], Sequence[Correspondent]]
"""Whom a mailbox (its id) has reached at a domain; the latest first, at most so many. It blocks."""


class Suggestions:
    """Looks only among those whom the sender himself has written to."""

    def __init__(self, sent: SentMail, reached_at: ReachedAt) -> None:
        self._sent = sent
        self._reached_at = reached_at

    async def instead_of(self, message: Message, address: Address) -> Meant | None:
        """Who may have been meant by an address that does not exist; never raises."""
        if message.origin is not Origin.OURS:
            return None
        try:
            owners = self._sent.owners(message)
            if len(owners) != 1:  # an alias of several: one's letters are not another's to know
                return None
            return await asyncio.to_thread(self._nearest, owners[0].id, address)
        except Exception:  # the notice is owed without it
            log.exception("queue.no_suggestion", trace=message.trace)
            return None

    def _nearest(self, mailbox_id: str, address: Address) -> Meant | None:
        found = self._reached_at(mailbox_id, address.domain, MAX_CANDIDATES)
        near = nearest(address, found)
        return None if near is None else Meant(near.address, near.last_at)


def nearest(address: Address, known: Sequence[Correspondent]) -> Correspondent | None:
    """The one among ``known`` whose name is like the address's, or goes on where it ends."""
    name = address.key.rpartition("@")[0]
    others = {one.address.local: one for one in reversed(known) if one.address.local != name}
    close = get_close_matches(name, others, 1, LIKENESS)
    if close:
        return others[close[0]]
    return next((one for one in known if _goes_on(name, one.address.local)), None)


def _goes_on(name: str, other: str) -> bool:
    """``chen`` and ``chen.lin``, in either direction."""
    short, long = sorted((name, other), key=len)
    return len(short) < len(long) and long.startswith(short) and long[len(short)] in SEPARATORS
