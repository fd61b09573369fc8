"""The key of the trace codes without the SQL library: the same key, or none."""

from pathlib import Path

from postern.diagnosis.store import read_trace_key
from postern.directory.store.site import SiteStore
from postern.runtime.clock import FakeClock


def test_the_key_is_the_one_the_directory_made(tmp_path: Path) -> None:
    site = SiteStore.open(tmp_path, FakeClock(), "test")
    key = site.trace_key()
    assert read_trace_key(tmp_path / "site.db") == key
    site.close()
    assert read_trace_key(tmp_path / "site.db") == key


def test_without_a_site_there_is_no_key_and_none_is_made(tmp_path: Path) -> None:
    assert read_trace_key(tmp_path / "site.db") is None
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    assert read_trace_key(tmp_path / "other.db") is None
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]
