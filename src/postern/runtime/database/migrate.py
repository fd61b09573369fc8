"""Bringing ``site.db`` to the shape this version knows.

All rooms' tables in ``site.db`` share one line of migrations, because they share one file and one
transaction. Each migration is plain and final: it imports no room, so that it means the same for
ever.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTooNewError

if TYPE_CHECKING:  # Alembic takes a fifth of a second to import; most starts do not need it
    from alembic.config import Config

HEAD = "0011"
"""The newest migration; a test holds it to the folder's."""

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> bool:
    """Bring the database to ``HEAD`` in one transaction; False when it was there already.

    Safe when two processes start at once: the second waits for the first and finds the work done.

    Raises:
        DatabaseTooNewError: a newer Postern wrote it.
        DatabaseTroubleError: the database could not be read or written; it is as before.
    """
    with database.read() as connection:
        if revision(connection) == HEAD:
            return False
    with database.write() as connection:
        found = revision(connection)
        if found == HEAD:
            return False
        _upgrade(connection, found)
    return True


def revision(connection: sa.Connection) -> str | None:
    """The migration the database stands at, or None when it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(sa.text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def _upgrade(connection: sa.Connection, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - see TYPE_CHECKING above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see TYPE_CHECKING above

    config = _config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseTooNewError(
            f"the database was written by a newer Postern (schema {found}, this one knows up to "
            f"{HEAD}): install that version again, or restore the backup from before the upgrade"
        )
    command.upgrade(config, "head")


def _config(connection: sa.Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see TYPE_CHECKING above

    config = Config()
    # A percent sign in the path would be read as interpolation by configparser.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
