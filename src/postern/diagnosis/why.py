"""Why: everything known about a mail, from the journal and from what still waits, as one answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from postern.diagnosis.ending import Exit, deciding, exit_for
from postern.journal.query import Kind, Query
from postern.journal.record import Conversation, FoldedRecord
from postern.journal.search import NEAREST, Extent, JournalReader

MAX_FOLDED = 10


class WaitingMail(Protocol):
    """Mail that is not finished: in the spool, so not in the journal yet."""

    def search(self, query: Query) -> list[Conversation]:
        """Conversations that fit (``postern.journal.match.matches``), as they stand now.

        Raises:
            OSError: they cannot be read; the answer then says so and goes on without.
        """
        ...


class NothingWaits:
    """The waiting mail of a place without a spool: a journal looked at on another machine."""

    def search(self, query: Query) -> list[Conversation]:
        """Nothing, whatever is asked."""
        del query
        return []


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer to "why".

    ``conversations`` are newest first; ``decisive`` is the one that answers, ``siblings`` came on
    its connection or belong to it. ``nearest`` is set only when nothing was found, and
    ``nearest_to`` says what it was found by. ``warnings`` are sentences about what could not be
    read. ``is_capped``: there may be more than was asked for. ``resolvers``: their names in
    postern.toml, home first, for whoever says what can be done.
    """

    query: Query
    tried: tuple[Query, ...]
    conversations: tuple[Conversation, ...]
    decisive: Conversation | None
    siblings: tuple[Conversation, ...]
    exit: Exit
    extent: Extent
    warnings: tuple[str, ...] = ()
    nearest: tuple[Conversation, ...] = ()
    nearest_to: str = ""
    folded: tuple[FoldedRecord, ...] = ()
    is_capped: bool = False
    resolvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Looked:
    conversations: tuple[Conversation, ...]
    warnings: tuple[str, ...]


def explain(
    queries: Sequence[Query],
    journal: JournalReader,
    waiting: WaitingMail,
    resolvers: Sequence[str] = (),
) -> Explanation:
    """The answer to the first of ``queries`` that finds anything.

    An ordinary question is one query; a pasted bounce is several, the surest first.
    """
    warnings: list[str] = []
    looked = _Looked((), ())
    query = queries[0]
    for candidate in queries:
        looked = look(candidate, journal, waiting)
        warnings += [warning for warning in looked.warnings if warning not in warnings]
        if looked.conversations:
            query = candidate
            break
    conversations = looked.conversations
    decisive = deciding(conversations)
    nearest_to, nearest = ("", ()) if conversations else _nearest(queries, journal, waiting)
    return Explanation(
        query=query,
        tried=tuple(queries),
        conversations=conversations,
        decisive=decisive,
        siblings=tuple(journal.siblings(decisive)) if decisive else (),
        exit=exit_for(conversations, is_all_read=not warnings),
        extent=journal.extent(),
        warnings=tuple(warnings),
        nearest=nearest,
        nearest_to=nearest_to,
        folded=tuple(journal.folded(query)[:MAX_FOLDED]),
        is_capped=len(conversations) >= query.limit,
        resolvers=tuple(resolvers),
    )


def look(query: Query, journal: JournalReader, waiting: WaitingMail) -> _Looked:
    """What both places know, newest first, each conversation once."""
    warnings = []
    try:
        still_there = waiting.search(query)
    except OSError as error:
        still_there = []
        warnings.append(f"the mail that still waits could not be read: {error}")
    found = journal.look(query)
    warnings += [
        f"{damaged.path.name} could not be read whole: {damaged.reason}"
        for damaged in found.damaged
    ]
    # The journal's copy wins: a mail is in both only between the journal's commit and the spool's
    # delete, and then the journal has the last word.
    by_id = {c.id: c for c in chain(still_there, found.conversations)}
    newest = sorted(by_id.values(), key=lambda c: (c.at, c.id), reverse=True)
    return _Looked(tuple(newest[: query.limit]), tuple(warnings))


def _nearest(
    queries: Sequence[Query], journal: JournalReader, waiting: WaitingMail
) -> tuple[str, tuple[Conversation, ...]]:
    for query in queries:
        # With a recipient named, the sender's other mail is the nearest thing there is.
        plain = tuple(
            clue for clue in query.clues if clue.kind not in {Kind.RECIPIENT, Kind.RECIPIENT_DOMAIN}
        )
        if plain and plain != query.clues:
            without = Query(plain, " ".join(clue.text for clue in plain), query.since, query.until)
            looked = look(without, journal, waiting)
            if looked.conversations:
                return without.text, looked.conversations[:NEAREST]
        clue, conversations = journal.nearest(query)
        if clue is not None:
            return clue.text, tuple(conversations)
    return "", ()
