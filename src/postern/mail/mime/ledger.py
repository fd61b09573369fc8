"""What was found so far in one message, and how much more may be looked at."""

from collections.abc import Callable

from postern.mail.mime.names import DOCUMENTS, extensions, last_of, last_two, spelling_costs
from postern.mail.mime.part import Discovery, Limits, What

MAX_OF_A_KIND = 20
"""Discoveries of one kind that are kept; more of the same would change nothing."""

MAX_OVERLAPS = 200
"""Files in the data of others: an archive stored in another has such, each of them read twice."""
MAX_OPEN = 32
"""Archives of one message that are open at a time: each holds a window of what it inflates."""
MAX_WATCHED = 300
"""Names that are told: two for each extension that is watched as a rule."""

# Work is reckoned in octets that are inflated, some 5 ms for a MiB; the rest as what takes as long.
# A clock would do as well, but then nobody could say beforehand what is looked into.
MAX_WORK = 8 * 1024 * 1024
"""What may be spent at once: no piece of a message keeps the loop for longer."""
WORK_PER_OCTET = 64
"""What each octet of the message adds to it again. Honest archives take less than half of it."""
TOO_MUCH = "there is too much in the message"
OPEN_WORK = 3 * 1024
LIST_WORK = 512
SPELLING_WORK = 512
CHAR_WORK = 16


class Sink:
    """Takes the octets of one file, decoded, as they come."""

    def feed(self, data: bytes) -> bool:
        """The next octets; False when it wants no more."""
        del data
        return False

    def finish(self) -> None:
        """There are no more octets."""


class Ledger:
    """One for each message.

    Args:
        watched: extensions in lower case, without a dot, that are to be told.
        open_file: makes what looks into a file: its name, and the archives it is in.

    Attributes:
        open_mail: makes what reads a message that is a file in an archive: the files it is in,
            itself the last.
    """

    def __init__(
        self,
        limits: Limits,
        watched: frozenset[str],
        open_file: Callable[["Ledger", str, tuple[str, ...]], Sink],
    ) -> None:
        self.limits = limits
        self.discoveries: list[Discovery] = []
        self.open_mail: Callable[[tuple[str, ...]], Sink] | None = None
        self._watched = watched
        self._open_file = open_file
        self._inflated = 0
        self._members = 0
        self._open = 0
        self._overlaps = 0
        self._work = 0
        self._kinds: dict[What, int] = {}
        self._endings: set[tuple[str, bool]] = set()
        self._is_full = False

    def earn(self, octets: int) -> None:
        """So many octets of the message came in: what they may cost is added."""
        self._work = max(0, self._work - octets * WORK_PER_OCTET)

    def may_work(self, work: int) -> bool:
        """True while so much work more may be done; nothing may once it was refused."""
        spent = self._work + work
        self._work = min(spent, MAX_WORK)
        return spent <= MAX_WORK

    def open(self, name: str, within: tuple[str, ...]) -> Sink:
        """What looks into the file called ``name``; nothing does when there is too much to do."""
        if not self.may_work(OPEN_WORK):
            self.tell(What.UNREADABLE, name, within, TOO_MUCH)
            return Sink()
        return self._open_file(self, name, within)

    def tell(self, what: What, name: str, within: tuple[str, ...], detail: str = "") -> None:
        """Write down a discovery, unless there are many of its kind."""
        count = self._kinds.get(what, 0)
        if count < MAX_OF_A_KIND:
            self._kinds[what] = count + 1
            self.discoveries.append(Discovery(what, last_of(name), within, detail))

    def name(self, name: str, within: tuple[str, ...] = ()) -> None:
        """A file is called so: told if its extension is watched, once for each extension.

        What that costs is refused to whoever asks next.
        """
        count, chars = spelling_costs(name)
        self.may_work(LIST_WORK if count == 1 else count * (SPELLING_WORK + CHAR_WORK * chars))
        found = extensions(name) & self._watched
        if not found:
            return
        # Which document it is called like makes no difference, and there are many.
        likes = {end for start, end in last_two(name) if end in found and start in DOCUMENTS}
        keys = {(one, False) for one in found} | {(one, True) for one in likes}
        if keys <= self._endings:
            return
        count = self._kinds.get(What.WATCHED, 0)
        if count >= MAX_WATCHED:
            if not self._is_full:
                self._is_full = True
                self.tell(What.UNREADABLE, name, within, "more kinds of files than are told")
            return
        self._kinds[What.WATCHED] = count + 1
        self._endings |= keys
        # As many as there are extensions: one that is allowed must not crowd out one that is not.
        self.discoveries.append(Discovery(What.WATCHED, last_of(name), within))

    def enter(self) -> bool:
        """True when one archive more may be open at a time; ``leave`` it then."""
        if self._open >= MAX_OPEN:
            return False
        self._open += 1
        return True

    def leave(self) -> None:
        """An archive was read to its end."""
        self._open -= 1

    def may_inflate(self, count: int) -> bool:
        """True while that many octets more may come out of archives."""
        self._inflated += count
        return self.may_work(count) and self._inflated <= self.limits.inflated_bytes

    def may_overlap(self) -> bool:
        """True while one file more may be looked into that lies in another's data.

        A zip whose parts each hold all others costs its sender ten kilobytes, and us a second.
        """
        self._overlaps += 1
        return self._overlaps <= MAX_OVERLAPS

    def may_list(self) -> bool:
        """True while one file more may be listed."""
        self._members += 1
        return self.may_work(LIST_WORK) and self._members <= self.limits.members
