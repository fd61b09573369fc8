"""A database file that is not precious: made anew where it is of another version or damaged.

What cannot be read is set aside as ``NAME.damaged``, and whoever needs it begins with nothing.
Several processes share the file, so each looks now and then whether it is still the one in place.
"""

from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from postern.runtime.database.engine import Database
from postern.runtime.database.trouble import DatabaseTroubleError


class SpareFile:
    """The open file; for one thread, or one command.

    Raises:
        DatabaseTroubleError: the database could not answer.
    """

    def __init__(self, database: Database, path: Path, number: int) -> None:
        self.database = database
        self.path = path
        self._number = number

    @classmethod
    def open(cls, path: Path, metadata: sa.MetaData, version: int) -> "SpareFile":
        """Open it with the tables of ``metadata``."""
        database = Database.open(path)
        number = path.stat().st_ino
        try:
            _prepare(database, metadata, version)
        except DatabaseTroubleError as error:
            database.close()
            if not is_damage(error):
                raise
            _set_aside(path, number)
            database = Database.open(path)
            number = path.stat().st_ino
            _prepare(database, metadata, version)
        return cls(database, path, number)

    def close(self) -> None:
        """Close it."""
        self.database.close()

    def is_in_place(self) -> bool:
        """Whether the file is still the one that others open."""
        try:
            return self.path.stat().st_ino == self._number
        except FileNotFoundError:
            return False

    def leave(self, error: Exception) -> None:
        """Close it after trouble; a file that ``error`` calls damaged is set aside."""
        self.close()
        if isinstance(error, DatabaseTroubleError) and is_damage(error):
            _set_aside(self.path, self._number)


def is_damage(error: DatabaseTroubleError) -> bool:
    """Whether it is the file itself that is broken, and not the disk or another process."""
    text = str(error)
    return "malformed" in text or "not a database" in text


def _prepare(database: Database, metadata: sa.MetaData, version: int) -> None:
    with database.read() as connection:
        if connection.exec_driver_sql("PRAGMA user_version").scalar() == version:
            return
    with database.write() as connection:
        if connection.exec_driver_sql("PRAGMA user_version").scalar() == version:
            return  # another worker was faster
        metadata.drop_all(connection)
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def _set_aside(path: Path, number: int) -> None:
    """Move the damaged file away, unless another worker has done so and made a new one."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == number:
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.rename(path.with_name(f"{path.name}.damaged"))
