"""Who gets the letter about held mail: its owner, or whoever answers for the domain."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.reception.rig import make_site

from postern.directory.model import MailboxPatch
from postern.directory.reader import Directory
from postern.directory.store.site import FILE_NAME, SiteStore
from postern.mail.address import Address, parse_address
from postern.queue.owners import DirectoryOwners
from postern.runtime.clock import FakeClock
from postern.runtime.database.watch import ChangeWatch


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteStore]:
    make_site(tmp_path)
    site = SiteStore.open(tmp_path, FakeClock(), "test")
    yield site
    site.close()


def places(site: SiteStore, folder: Path, owner: str, named: str = "") -> list[str]:
    address = parse_address(owner)
    assert isinstance(address, Address)
    watch = ChangeWatch(folder / FILE_NAME)
    found = DirectoryOwners(Directory(site.database, watch)).places_of(address, named or owner)
    watch.close()
    return [str(place) for place in found]


def test_a_mailbox_is_told_itself_switched_off_or_not(site: SiteStore, tmp_path: Path) -> None:
    assert places(site, tmp_path, "wang@harbour.example") == ["wang@harbour.example"]
    assert places(site, tmp_path, "gone@harbour.example") == ["gone@harbour.example"]


def test_who_is_behind_a_gateway_is_told_by_the_same_way(site: SiteStore, tmp_path: Path) -> None:
    assert places(site, tmp_path, "anyone@gate.example") == ["anyone@gate.example"]


def test_without_a_mailbox_the_postmaster_of_the_domain_is_told(
    site: SiteStore, tmp_path: Path
) -> None:
    site.add_alias("postmaster@harbour.example", ["chen@harbour.example", "li@harbour.example"])
    both = ["chen@harbour.example", "li@harbour.example"]
    assert sorted(places(site, tmp_path, "nobody@harbour.example")) == both
    far = places(site, tmp_path, "friend@far.example", "sales@harbour.example")
    assert sorted(far) == both  # what an alias sends elsewhere is not told of there


def test_where_the_domain_is_gone_the_sites_postmaster_is_told(
    site: SiteStore, tmp_path: Path
) -> None:
    site.set_mailbox("gone@harbour.example", MailboxPatch(enabled=True))
    found = places(site, tmp_path, "wang@gone.example")
    assert found
    assert all(place.endswith("@harbour.example") for place in found)
