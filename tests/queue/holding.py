"""Mail that is held for its owners, on a stage with a database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.queue.stage import Stage
from tests.spool.mail import MemoryJournal, message

from postern.journal.record import Because, Conversation
from postern.mail.address import Address
from postern.notices.settings import NoticeSettings
from postern.queue.digests import Digests, DigestSettings
from postern.queue.keeper import Keeper
from postern.queue.store.tellings import Telling, TellingStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
from postern.spool.message import Message, Origin

DAY_S = 86_400.0
WANG = "wang@here.test"
LI = "li@here.test"
NOTICES = NoticeSettings("mx.here.test")


@contextmanager
def telling_store(folder: Path) -> Iterator[TellingStore]:
    """The store of letters, in a database of its own."""
    database = Database.open(folder / "site.db")
    migrate(database)
    yield TellingStore(database)
    database.close()


def held(stage: Stage, number: int, *owners: str, check: str = "dmarc.reject") -> Message:
    """A message that the stage's spool holds for each of ``owners``."""
    now = stage.clock.now()
    made = message(number, *(owners or (WANG,)), at=now, origin=Origin.OUTSIDE)
    for delivery in made.deliveries:
        owner = delivery.recipient.address
        size_bytes = made.content.size_bytes
        stage.spool.holdings.hold(delivery, owner, check, size_bytes, now)
        record = made.conversation.recipients[delivery.index]
        record.because = Because(check, "it fails", "sender")
    return made


def told(store: TellingStore, number: int, at: float, *messages: int, owner: str = WANG) -> None:
    """A letter that named these messages and arrived at a moment."""
    names = tuple((message, 0) for message in messages)
    store.add([Telling(number, owner, f"day {number}", at, names)])
    store.conclude([number], [], at)


def keeper(stage: Stage, store: TellingStore, untold: Sequence[str] = ()) -> Keeper:
    """The keeper of a stage; owners in ``untold`` get no letters."""
    return Keeper(stage.queue, stage.spool, store, lambda owner: owner not in untold, stage.clock)


class Kept:
    """The journal as letters' maker asks it."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    def get(self, number: int) -> Conversation | None:
        return self._journal.kept.get(number)


class Counted:
    """Numbers for letters."""

    def __init__(self, first: int = 1_000) -> None:
        self._next = first

    def next(self) -> tuple[int, str]:
        self._next += 1
        return self._next, f"PT-{self._next:08d}"


class Owners:
    """Every owner has a mailbox."""

    def places_of(self, owner: Address, named: str) -> tuple[Address, ...]:
        return (owner,)


def digests(
    stage: Stage, store: TellingStore, settings: DigestSettings | None = None, first: int = 1_000
) -> Digests:
    """The maker of letters on a stage."""
    return Digests(
        stage.spool,
        stage.folder / "spool",
        stage.queue,
        store,
        Kept(stage.journal),
        Owners(),
        Counted(first),
        stage.clock,
        (settings or DigestSettings(hour=8), NOTICES),
    )


def midnight() -> FakeClock:
    """A clock at the beginning of a day, UTC."""
    return FakeClock(1_750_032_000.0)
