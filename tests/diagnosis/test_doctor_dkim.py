"""The doctor says which domains' mail leaves unsigned, once that looks forgotten."""

from dataclasses import replace
from pathlib import Path

from tests.diagnosis.test_doctor import site
from tests.mail.dkim.stand import ed25519_key, pem

from postern.diagnosis.doctor_dkim import PATIENCE_S, examine_dkim
from postern.directory.dkim import DkimKey, KeyState
from postern.directory.store.dkim import DkimStore
from postern.directory.store.site import SiteStore
from postern.runtime.clock import FakeClock


def test_unsigned_domains_and_unpublished_records_are_told_after_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    here = replace(site(tmp_path), data_dir=tmp_path)
    assert list(examine_dkim(here, clock.now())) == []
    store = SiteStore.open(tmp_path, clock, "test")
    for name in ("a.example", "b.example"):
        store.add_domain(name)
    keys = DkimStore(store.database, clock, "test")
    for name in ("a.example", "b.example"):
        assert isinstance(keys.add(name, pem(ed25519_key()), "s1"), DkimKey)
    keys.set_state("a.example", "s1", KeyState.ACTIVE)
    assert list(examine_dkim(here, clock.now())) == []
    clock.advance(PATIENCE_S + 1)
    unsigned, unseen = examine_dkim(here, clock.now())
    assert unsigned.what.startswith("mail of 1 domain leaves unsigned: b.example")
    assert unsigned.fix.endswith("prints: postern dkim show b.example s1")  # it has a key
    store.add_domain("c.example")
    store.add_domain("news.a.example")  # the domain above it signs
    clock.advance(PATIENCE_S + 1)
    unsigned, _ = examine_dkim(here, clock.now())
    assert unsigned.what.startswith("mail of 2 domains leaves unsigned: b.example, c.example;")
    assert "postern dkim add c.example" in unsigned.fix
    store.remove_domain("c.example")
    assert unseen.what.startswith("the record s1._domainkey.b.example was not seen in DNS")
    assert unseen.fix.startswith("postern dkim show b.example s1")
    keys.set_state("b.example", "s1", KeyState.ACTIVE)
    (signed,) = examine_dkim(here, clock.now())
    assert signed.what == "mail of all 3 domains is signed"
    store.close()
