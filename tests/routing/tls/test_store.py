"""``tls.db``: what is in it lasts, is bounded, and is read by all workers."""

from pathlib import Path

import pytest

from postern.routing.tls import store as under_test
from postern.routing.tls.shelf import Shelf
from postern.routing.tls.store import StoredPolicy, TlsStore
from postern.runtime.clock import FakeClock

DAY_S = 86_400.0


def stored(domain: str, fetched: float = 100.0, expires: float = 1_000.0) -> StoredPolicy:
    return StoredPolicy(domain, "1", b"version: STSv1", fetched, expires)


def test_what_one_worker_fetched_the_others_know(tmp_path: Path) -> None:
    clock = FakeClock()
    one, other = Shelf(tmp_path / "tls.db", clock), Shelf(tmp_path / "tls.db", clock)
    kept = stored("tea.test", clock.now(), clock.now() + DAY_S)
    one.put(kept)
    one.saw_dane("tea.test")
    one.flush()
    found = other.policy("tea.test")
    assert found is not None
    assert (found.id, found.body, found.expires) == (kept.id, kept.body, kept.expires)
    assert other.had_dane("tea.test")
    assert not other.had_dane("coffee.test")
    clock.advance(31 * DAY_S)
    assert not Shelf(tmp_path / "tls.db", clock).had_dane("tea.test")
    one.close()
    other.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    TlsStore(tmp_path / "tls.db").close()
    assert (tmp_path / "tls.db").stat().st_mode & 0o777 == 0o600


def test_what_is_over_is_dropped_and_so_is_what_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "MAX_POLICIES", 2)
    monkeypatch.setattr(under_test, "MAX_DANE", 1)
    store = TlsStore(tmp_path / "tls.db")
    store.put(stored("over.test", expires=500.0))
    for number in range(3):
        store.put(stored(f"{number}.test"))
        store.used(f"{number}.test", 200.0 + number)
        store.saw_dane(f"{number}.test", 200.0 + number)
    store.prune(600.0, 201.0)
    policies = [store.policy(f"{name}.test", 0.0) for name in ("over", "0", "1", "2")]
    assert [policy is not None for policy in policies] == [False, False, True, True]
    seen = [store.dane_seen(f"{number}.test") for number in range(3)]
    assert seen == [None, None, 202.0]
    store.close()
