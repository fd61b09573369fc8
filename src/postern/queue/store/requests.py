"""Commands to running workers as rows of ``site.db``: asked by the CLI, answered by each worker."""

import msgspec
import sqlalchemy as sa

from postern.queue.request import Action, Answer, MailFilter, Options, Request, Tally
from postern.runtime.clock import Instant
from postern.runtime.database.engine import Database

KEEP_S = 86_400.0
"""How long a request and its answers can be looked up."""

metadata = sa.MetaData()

request = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("filter", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sqlite_autoincrement=True,
)

request_answer = sa.Table(
    "request_answer",
    metadata,
    sa.Column(
        "request_id",
        sa.Integer,
        sa.ForeignKey("request.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("worker", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("is_done", sa.Boolean, nullable=False),
)


class RequestStore:
    """Requests and answers. Every method is one transaction and may block on the disk.

    Raises:
        DatabaseTroubleError: the database could not answer; nothing of the call holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, asked: Request) -> int:
        """Put a request to all workers; returns its number. Requests of yesterday are swept."""
        with self._database.write() as connection:
            connection.execute(
                sa.delete(request).where(request.c.created_at < asked.created_at - KEEP_S)
            )
            result = connection.execute(
                sa.insert(request).values(
                    created_at=asked.created_at,
                    author=asked.author[:255],
                    action=asked.action.value,
                    filter=_text(asked.filter),
                    options=_text(asked.options),
                    dry_run=asked.dry_run,
                )
            )
            key = result.inserted_primary_key
            return 0 if key is None else int(key[0])

    def unanswered(self, worker: int, since: Instant) -> list[Request]:
        """Requests made at ``since`` or later that a worker has not finished, oldest first.

        One that cannot be read (written by another version) is passed over; its author sees that
        no worker answers.
        """
        done = (
            sa.select(request_answer.c.request_id)
            .where(request_answer.c.worker == worker, request_answer.c.is_done)
            .scalar_subquery()
        )
        query = (
            sa.select(request)
            .where(request.c.created_at >= since, request.c.id.not_in(done))
            .order_by(request.c.id)
        )
        with self._database.read() as connection:
            found = [_request(row) for row in connection.execute(query)]
        return [asked for asked in found if asked is not None]

    def answer(self, given: Answer) -> None:
        """Write a worker's answer over its earlier one; an answer to a swept request is dropped."""
        values = {
            "at": given.at,
            "count": given.tally.count,
            "text": _text(given.tally),
            "is_done": given.tally.is_done,
        }
        mine = (request_answer.c.request_id == given.request_id) & (
            request_answer.c.worker == given.worker
        )
        with self._database.write() as connection:
            asked = sa.select(request.c.id).where(request.c.id == given.request_id)
            if connection.execute(asked).first() is None:
                return
            if connection.execute(sa.update(request_answer).where(mine).values(values)).rowcount:
                return
            connection.execute(
                sa.insert(request_answer).values(
                    request_id=given.request_id, worker=given.worker, **values
                )
            )

    def answers(self, request_id: int) -> list[Answer]:
        """What has been answered so far, by worker."""
        query = (
            sa.select(request_answer.c.worker, request_answer.c.at, request_answer.c.text)
            .where(request_answer.c.request_id == request_id)
            .order_by(request_answer.c.worker)
        )
        with self._database.read() as connection:
            return [
                Answer(request_id, row.worker, row.at, msgspec.json.decode(row.text, type=Tally))
                for row in connection.execute(query)
            ]

    def withdraw(self, request_id: int) -> None:
        """Take a request back: workers that have not begun never will."""
        with self._database.write() as connection:
            connection.execute(sa.delete(request).where(request.c.id == request_id))


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


def _request(row: sa.Row[tuple[object, ...]]) -> Request | None:
    try:
        return Request(
            row.id,
            row.created_at,
            row.author,
            Action(row.action),
            msgspec.json.decode(row.filter, type=MailFilter),
            msgspec.json.decode(row.options, type=Options),
            bool(row.dry_run),
        )
    except (msgspec.MsgspecError, ValueError):
        return None
