"""``site.db`` comes to this version's shape from nothing and from before, never from later."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from postern.directory.store import tables
from postern.runtime.database import migrate as module
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import HEAD, migrate, revision
from postern.runtime.database.trouble import DatabaseTooNewError

RACER = """
import sys
from pathlib import Path
from postern.runtime.database.engine import Database
from postern.runtime.database.migrate import migrate
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
database = Database.open(Path(sys.argv[1]))
sys.stdout.write(f"{migrate(database)}\\n")
database.close()
"""


def names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_empty_database_gets_every_table(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "site.db")
    assert migrate(database)
    assert names(database) >= {
        "setting",
        "domain",
        "mailbox",
        "alias",
        "alias_target",
        "change",
        "alembic_version",
    }
    database.close()


def is_of_the_directory(_item: object, name: str | None, kind: str, *_: object) -> bool:
    return kind != "table" or name in tables.metadata.tables


def test_migrated_tables_are_exactly_those_the_store_declares(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "site.db")
    migrate(database)
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_of_the_directory}
        )
        differences = compare_metadata(context, tables.metadata)
    database.close()
    assert differences == []


def test_existing_database_keeps_its_rows_and_is_left_alone(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "site.db")
    migrate(database)
    with database.write() as connection:
        connection.execute(tables.setting.insert().values(key="k", value="v"))
    assert not migrate(database)
    with database.read() as connection:
        assert connection.execute(sa.select(tables.setting.c.value)).scalar() == "v"
    database.close()


def test_database_of_a_newer_postern_is_refused_and_not_touched(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "site.db")
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('9999')"))
    with pytest.raises(DatabaseTooNewError, match=r"newer Postern \(schema 9999"):
        migrate(database)
    with database.read() as connection:
        assert revision(connection) == "9999"
    assert names(database) == {"alembic_version"}
    database.close()


def test_migration_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(tmp_path / "site.db")
    upgrade = module._upgrade

    def interrupted(connection: sa.Connection, found: str | None) -> None:
        upgrade(connection, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        migrate(database)
    assert names(database) == set()
    monkeypatch.undo()
    assert migrate(database)
    database.close()


def test_four_processes_starting_at_once_migrate_once(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path / "site.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    assert sorted(results) == ["False\n", "False\n", "False\n", "True\n"]


def test_head_is_the_newest_migration_and_the_line_has_no_forks() -> None:
    scripts = ScriptDirectory(str(module._SCRIPTS))
    assert scripts.get_heads() == [HEAD]


def test_path_with_a_percent_sign_can_hold_postern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "100%s"
    moved.symlink_to(module._SCRIPTS)
    monkeypatch.setattr(module, "_SCRIPTS", moved)
    database = Database.open(tmp_path / "site.db")
    assert migrate(database)
    database.close()
