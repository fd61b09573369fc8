"""A site of one's own for each test, copied from one that was migrated once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.directory.reading import Reading

from postern.directory.reader import Directory
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.runtime.clock import FakeClock
from postern.runtime.database.engine import Database
from postern.runtime.database.watch import ChangeWatch


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty-site")
    SiteStore.open(folder, FakeClock(), "test").close()
    return folder / FILE_NAME


@pytest.fixture
def data_dir(tmp_path: Path, empty_site: Path) -> Path:
    shutil.copy(empty_site, tmp_path / FILE_NAME)
    return tmp_path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def site(data_dir: Path, clock: FakeClock) -> Iterator[SiteStore]:
    opened = SiteStore.open(data_dir, clock, "cli:wang")
    yield opened
    opened.close()


@pytest.fixture
def reading(site: SiteStore, data_dir: Path) -> Iterator[Reading]:
    database = Database.open(data_dir / FILE_NAME)
    watch = ChangeWatch(data_dir / FILE_NAME)
    view = Reading(Directory(database, watch))

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            view.queries.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", count)
    yield view
    watch.close()
    database.close()


@pytest.fixture
def directory(reading: Reading) -> Directory:
    return reading.directory
