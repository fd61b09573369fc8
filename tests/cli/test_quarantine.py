"""``postern quarantine`` without a server: what is held is read from the spools."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.called import Postern
from tests.spool.mail import message

from postern.journal.record import Because
from postern.mail.address import Address
from postern.queue.store.tellings import Telling, TellingStore
from postern.runtime.database.engine import Database
from postern.spool.body import BodyFolder
from postern.spool.holdings import Holdings
from postern.spool.message import Origin
from postern.spool.settings import HoldSettings
from postern.spool.store.file import SpoolFile

NOW = 1_750_000_000.0


@pytest.fixture
def holding(harbour: Postern, folder: Path) -> Postern:
    """A site that holds a forgery and a virus for wang."""
    where = folder / "data" / "spool"
    where.mkdir(parents=True, exist_ok=True)
    holdings = Holdings(HoldSettings())
    made = []
    for number, check in ((1, "dmarc.reject"), (2, "virus.found")):
        one = message(number, "wang@harbour.example", at=NOW, origin=Origin.OUTSIDE)
        one.conversation.from_header = "ann@offers.example"
        one.conversation.recipients[0].because = Because(check, "it fails", "sender")
        owner = Address("wang", "harbour.example")
        holdings.hold(one.deliveries[0], owner, check, one.content.size_bytes, NOW)
        made.append(one)
    spool = SpoolFile(where / "0.db", BodyFolder(where / "0"))
    with spool.transaction():
        spool.insert(made)
    spool.close()
    return harbour


def test_what_is_held_is_listed_with_its_end(holding: Postern) -> None:
    said = holding("quarantine", "list", "--json")
    found = said.whole["held"]
    assert isinstance(found, list)
    assert found[0] == {
        "id": "PT-00000001.1",
        "at": "2025-06-15T15:06:40.000+00:00",
        "mailbox": "wang@harbour.example",
        "owner": "wang@harbour.example",
        "mail_from": "li@client.test",
        "from": "ann@offers.example",
        "client_ip": "",
        "subject": "",
        "size": 28,
        "because": {"check": "dmarc.reject", "text": "it fails"},
        "found": [],
        "rule": None,
        "until": "2025-07-15T15:06:40.000+00:00",
    }
    assert "2025-07-15" in holding("quarantine", "list").out


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--from", "ann@offers.example"), 2),
        (("--from", "@client.test"), 2),
        (("--from", "<>"), 0),
        (("--from", "@far.example", "--mailbox", "wang@harbour.example"), 0),
        (("--domain", "harbour.example", "--from", "li@client.test"), 2),
    ],
)
def test_a_sender_is_meant_as_shown_or_as_sent(
    holding: Postern, options: Sequence[str], count: int
) -> None:
    assert len(holding("quarantine", "list", *options, "--json").names("held", "id")) == count


def test_when_its_owner_was_told_is_shown(holding: Postern, folder: Path) -> None:
    assert "owner told  not yet" in holding("quarantine", "show", "PT-00000001.1").out
    database = Database.open(folder / "data" / "site.db")
    store = TellingStore(database)
    store.add([Telling(9, "wang@harbour.example", "2025-06-16", NOW, ((1, 0),))])
    store.conclude([9], [], NOW + 86_400.0)
    database.close()
    assert "owner told  2025-06-16T" in holding("quarantine", "show", "PT-00000001.1").out
    shown = holding("quarantine", "show", "PT-00000001.1", "PT-00000002.1", "--json")
    assert shown.names("held", "told_at") == ["2025-06-16T15:06:40.000+00:00", None]


def test_a_virus_is_not_released_by_the_way(holding: Postern) -> None:
    said = holding("quarantine", "release", "PT-00000001.1", "PT-00000002.1")
    assert said.code == 2
    assert "a virus was found in PT-00000002.1; nothing was released" in said.err
    assert "--i-accept-a-virus" in said.err
    accepted = holding("quarantine", "release", "PT-00000002.1", "--i-accept-a-virus")
    assert accepted.code == 69
    assert "the server is not running" in accepted.err


def test_how_long_is_read_before_anything_is_released(holding: Postern) -> None:
    said = holding("quarantine", "release", "PT-00000001.1", "--allow", "a while")
    assert said.code == 64
    assert "write how long" in said.err
