"""The mail that still waits, plugged into those who explain: the journal does not have it yet."""

from collections.abc import Iterator
from pathlib import Path

from postern.journal.match import matches
from postern.journal.query import Kind, Query
from postern.journal.record import Conversation
from postern.spool.message import Message
from postern.spool.outline import outline
from postern.spool.store.reader import SpoolReader


class SpooledMail:
    """Searches the spools of all workers, whether the server runs or not."""

    def __init__(self, spool_folder: Path) -> None:
        self._reader = SpoolReader(spool_folder)

    def search(self, query: Query) -> list[Conversation]:
        """Conversations that fit, newest first, as they stand now.

        Raises:
            OSError: a spool can't be read.
        """
        found = [
            conversation
            for conversation in map(outline, self._candidates(query))
            if matches(query, conversation)
        ]
        found.sort(key=lambda conversation: -conversation.at)
        return found[: query.limit]

    def _candidates(self, query: Query) -> Iterator[Message]:
        """All messages, or the one that a trace code names."""
        for clue in query.clues:
            if clue.kind is Kind.TRACE:
                message = self._reader.message(clue.number)
                if message is not None:
                    yield message
                return
        yield from self._reader.messages()
