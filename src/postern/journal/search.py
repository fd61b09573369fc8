"""Finding conversations again, across day files and workers, newest first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from postern.journal.days import DayFile, day_of, list_files
from postern.journal.match import around
from postern.journal.query import Clue, Kind, Query
from postern.journal.record import ChangeRecord, Conversation, FoldedRecord, Line
from postern.journal.store.reading import DamagedFile, DayReading

MAX_SIBLINGS = 50
NEAREST = 5
"""How many conversations show what is known nearest to a question without an answer."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, with what had to be left out of it: damaged files are named, not hidden."""

    conversations: tuple[Conversation, ...]
    damaged: tuple[DamagedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is to be searched. ``since`` is None when nothing was journaled yet."""

    since: float | None
    files: int
    workers: int


class JournalReader:
    """Reads the day files of a folder, while workers write them and retention removes them.

    Every call opens what it needs and closes it again; to be used from any one thread at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def search(self, query: Query) -> list[Conversation]:
        """As ``look``, for callers who tell nobody about damaged files."""
        return list(self.look(query).conversations)

    def look(self, query: Query) -> Found:
        """Up to ``query.limit`` conversations that fit, newest first.

        Files are read a day at a time from the newest; the search ends with the first day that
        fills the limit. A conversation that took longer than a week is in the file of the day it
        ended, where ``until`` does not look when that day is past it.
        """
        found: dict[int, Conversation] = {}
        damaged: list[DamagedFile] = []
        for _, files in groupby(self._records(query.since, query.until), key=lambda f: f.day):
            for file in files:
                with DayReading(file) as reading:
                    for conversation in reading.find(query):
                        found.setdefault(conversation.id, conversation)
                if reading.damage:
                    damaged.append(reading.damage)
            if len(found) >= query.limit or _is_complete(query, found):
                break
        newest = sorted(found.values(), key=lambda c: (c.at, c.id), reverse=True)
        return Found(tuple(newest[: query.limit]), tuple(damaged))

    def get(self, number: int) -> Conversation | None:
        """One conversation by the number behind its trace code."""
        return _first(lambda reading: reading.get(number), self._records())

    def transcript(self, number: int) -> list[Line]:
        """What was said, where it is kept: refused conversations of the last days."""
        files = [file for file in list_files(self._folder)[::-1] if file.is_transcripts]
        return _first(lambda reading: reading.transcript(number), files) or []

    def siblings(self, conversation: Conversation) -> list[Conversation]:
        """Conversations it is related to, and those related to it, oldest first."""
        wanted = [n for n in conversation.related[:MAX_SIBLINGS] if n != conversation.id]
        found = {n: sibling for n in wanted if (sibling := self.get(n)) is not None}
        clue = Clue(Kind.RELATED, str(conversation.id), number=conversation.id)
        later = Query((clue,), clue.text, limit=MAX_SIBLINGS)
        for sibling in self.look(later).conversations:
            found.setdefault(sibling.id, sibling)
        found.pop(conversation.id, None)
        return sorted(found.values(), key=lambda c: (c.at, c.id))[:MAX_SIBLINGS]

    def changes_of(self, conversation: Conversation) -> list[ChangeRecord]:
        """What people did to a conversation's mail, in order."""
        changes: list[ChangeRecord] = []
        for file in self._records(since=conversation.at):
            with DayReading(file) as reading:
                changes += reading.changes_of(conversation.id)
        return sorted(changes, key=lambda change: change.at)

    def folded(self, query: Query) -> list[FoldedRecord]:
        """Conversations of the asked-for clients that a flood made us only count."""
        networks = [clue.network for clue in query.clues if clue.network is not None]
        if not networks:
            return []
        counted: list[FoldedRecord] = []
        for file in self._records(query.since, query.until):
            with DayReading(file) as reading:
                for network in networks:
                    counted += reading.folded(network)
        return counted

    def folded_count(self) -> int:
        """How many conversations were only counted, in all day files."""
        total = 0
        for file in self._records():
            with DayReading(file) as reading:
                total += reading.folded_count()
        return total

    def extent(self) -> Extent:
        """How far back the journal goes, and how many workers wrote it."""
        files = list(self._records())
        since = None
        for file in reversed(files):
            with DayReading(file) as reading:
                span = reading.span()
            if span is not None:
                since = span.first_at if since is None else min(since, span.first_at)
            if since is not None and file.day > day_of(since):
                break
        return Extent(since, len(files), len({file.worker for file in files}))

    def nearest(self, query: Query) -> tuple[Clue | None, list[Conversation]]:
        """What is known nearest to a query that found nothing, and what was asked for it.

        The network around an address; the domain of an address; the domain above a domain.
        """
        for clue in query.clues:
            for wider in _wider(clue):
                asked = replace(query, clues=(wider,), limit=NEAREST)
                conversations = self.search(asked)
                if conversations:
                    return wider, conversations
        return None, []

    def _records(self, since: float | None = None, until: float | None = None) -> list[DayFile]:
        """Record files that may tell of a time, newest day first."""
        first = day_of(since) if since is not None else None
        last = day_of(until) if until is not None else None
        return [
            file
            for file in list_files(self._folder)[::-1]
            if not file.is_transcripts
            and (first is None or file.day >= first)
            and (last is None or file.day <= last)
        ]


def _first(read: Callable[[DayReading], _T | None], files: Sequence[DayFile]) -> _T | None:
    """What the first of the files knows."""
    for file in files:
        with DayReading(file) as reading:
            found = read(reading)
        if found is not None:
            return found
    return None


def _is_complete(query: Query, found: dict[int, Conversation]) -> bool:
    """Whether nothing more can be found: trace codes name one conversation each."""
    numbers = {clue.number for clue in query.clues if clue.kind is Kind.TRACE}
    return bool(numbers) and numbers <= found.keys()


def _wider(clue: Clue) -> Iterator[Clue]:
    match clue.kind:
        case Kind.ADDRESS | Kind.RECIPIENT:
            domain = clue.text.rpartition("@")[2].lower()
            yield Clue(Kind.DOMAIN, domain)
            yield from _wider(Clue(Kind.DOMAIN, domain))
        case Kind.DOMAIN | Kind.RECIPIENT_DOMAIN | Kind.HELO:
            above = clue.text.partition(".")[2]
            if "." in above:
                yield Clue(Kind.DOMAIN, above)
        case Kind.NETWORK if clue.network is not None:
            near = around(str(clue.network.network_address))
            if near is not None and near.prefixlen < clue.network.prefixlen:
                yield Clue(Kind.NETWORK, str(near), near)
        case _:
            return
