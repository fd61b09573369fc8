"""Whom each mailbox has written to: values, and the notebook that is filled between two writings.

Kept in a file of its own, ``correspondents.db``: what is written to ``site.db`` makes every worker
read its rules and addresses anew, and this is written each second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from postern.mail.address import Address
from postern.runtime.clock import Instant

MAX_PENDING = 20_000
"""Notes between two writings; what is beyond that is not noted."""


@dataclass(frozen=True, slots=True)
class Correspondent:
    """Somebody outside whom a mailbox has written to.

    ``delivered_at``: when a message to them was last delivered; None: that never was seen.
    """

    address: Address
    first_at: Instant
    last_at: Instant
    times: int
    delivered_at: Instant | None


@dataclass(frozen=True, slots=True)
class Key:
    """One mailbox and one address, each in the one spelling it is looked for."""

    mailbox_id: str
    local: str
    domain: str


@dataclass(frozen=True, slots=True)
class Note:
    """What is new about one correspondent: messages to them, and that one arrived."""

    first_at: Instant
    last_at: Instant
    times: int = 0
    delivered_at: Instant | None = None


def key_of(mailbox_id: str, address: Address) -> Key:
    """The key of a correspondent: upper and lower case are the same person."""
    local, _, domain = address.key.rpartition("@")
    return Key(mailbox_id, local, domain)


class Notebook:
    """What was learnt since somebody last took it; for one thread."""

    def __init__(self) -> None:
        self._notes: dict[Key, Note] = {}

    def wrote(self, mailbox_id: str, address: Address, at: Instant) -> None:
        """A message from the mailbox to that address was accepted."""
        key = key_of(mailbox_id, address)
        note = self._notes.get(key) or self._new(at)
        if note is not None:
            self._notes[key] = replace(note, last_at=max(note.last_at, at), times=note.times + 1)

    def reached(self, mailbox_id: str, address: Address, at: Instant) -> None:
        """Such a message was delivered."""
        key = key_of(mailbox_id, address)
        note = self._notes.get(key) or self._new(at)
        if note is not None:
            self._notes[key] = replace(note, delivered_at=at)

    def take(self) -> Mapping[Key, Note]:
        """All of it; the notebook is empty then."""
        notes, self._notes = self._notes, {}
        return notes

    def put_back(self, notes: Mapping[Key, Note]) -> None:
        """It could not be written: it is for the next time, below what was noted since."""
        self._notes = dict(list({**notes, **self._notes}.items())[:MAX_PENDING])

    def _new(self, at: Instant) -> Note | None:
        return None if len(self._notes) >= MAX_PENDING else Note(at, at)
