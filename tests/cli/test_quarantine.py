"""``postern quarantine`` without a server: what is held is read from the spools."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.called import Postern
from tests.spool.mail import message

from postern.journal.record import Because
from postern.mail.address import Address
from postern.queue.request import Answer, Request, Tally
from postern.queue.store.tellings import Telling, TellingStore
from postern.runtime.database.engine import Database
from postern.spool.body import BodyFolder
from postern.spool.holdings import Holdings
from postern.spool.message import Origin
from postern.spool.settings import HoldSettings
from postern.spool.store.file import SpoolFile

NOW = 1_750_000_000.0
DAY_S = 86_400.0


@pytest.fixture
def holding(harbour: Postern, folder: Path) -> Postern:
    """A site that holds a forgery, a virus, and what could not be scanned for wang."""
    where = folder / "data" / "spool"
    where.mkdir(parents=True, exist_ok=True)
    holdings = Holdings(HoldSettings())
    made = []
    for number, check in ((1, "dmarc.reject"), (2, "virus.found"), (3, "virus.couldnt-tell")):
        one = message(number, "wang@harbour.example", at=NOW, origin=Origin.OUTSIDE)
        one.conversation.client_ip = "198.51.100.24"
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
        "client_ip": "198.51.100.24",
        "subject": "",
        "size": 28,
        "because": {"check": "dmarc.reject", "text": "it fails"},
        "found": [],
        "rule": None,
        "kept_until": None,
        "until": "2025-07-15T15:06:40.000+00:00",
    }
    row = holding("quarantine", "list").out.splitlines()[1]
    assert "untold" in row  # nobody knows of it: it does not leave
    assert "2025-07-15 or later" in row


def test_from_when_on_mail_may_leave_is_shown(holding: Postern, folder: Path) -> None:
    told(folder, NOW + 28 * DAY_S)
    row = holding("quarantine", "list").out.splitlines()[1]
    assert row.count("2025-07-20") == 2  # told 28 days after it came: kept for a week from then on
    told(folder, NOW + DAY_S, message=2)
    (found,) = [
        one
        for one in holding("quarantine", "list", "--json").rows("held")
        if one["id"] == "PT-00000002.1"
    ]
    assert str(found["kept_until"]).startswith("2025-06-23")
    assert str(found["until"]).startswith("2025-07-15")
    shown = holding("quarantine", "show", "PT-00000002.1").out
    assert "kept until  2025-06-23" in shown
    assert "leaves by   2025-07-15" in shown


def test_where_no_letters_go_mail_may_leave_at_any_time(holding: Postern, folder: Path) -> None:
    config = folder / "postern.toml"
    config.write_text(config.read_text() + "\n[quarantine]\ndigest = false\n")
    row = holding("quarantine", "list").out.splitlines()[1]
    assert row.count("2025-06-15") == 2  # since then
    assert "or later" not in row


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--from", "ann@offers.example"), 3),
        (("--from", "@client.test"), 3),
        (("--from", "<>"), 0),
        (("--from", "@far.example", "--mailbox", "wang@harbour.example"), 0),
        (("--domain", "harbour.example", "--from", "li@client.test"), 3),
    ],
)
def test_a_sender_is_meant_as_shown_or_as_sent(
    holding: Postern, options: Sequence[str], count: int
) -> None:
    assert len(holding("quarantine", "list", *options, "--json").names("held", "id")) == count


def test_when_its_owner_was_told_is_shown(holding: Postern, folder: Path) -> None:
    assert "owner told  not yet" in holding("quarantine", "show", "PT-00000001.1").out
    told(folder, NOW + DAY_S)
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


def test_what_could_not_be_scanned_is_not_called_a_virus_and_has_a_flag_of_its_own(
    holding: Postern,
) -> None:
    for options in ((), ("--i-accept-a-virus",)):
        said = holding("quarantine", "release", "PT-00000003.1", *options)
        assert said.code == 2
        assert "PT-00000003.1 could not be scanned for viruses; nothing was released" in said.err
        assert "a virus was found" not in said.err
    assert holding("quarantine", "release", "PT-00000003.1", "--unscanned").code == 69
    virus = holding("quarantine", "release", "PT-00000002.1", "--unscanned")
    assert "a virus was found in PT-00000002.1" in virus.err


def test_how_long_is_read_before_anything_is_released(holding: Postern) -> None:
    said = holding("quarantine", "release", "PT-00000001.1", "--allow", "a while")
    assert said.code == 64
    assert "write how long" in said.err


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tally, bool]]:
    """What the workers will say to each request: a tally, and whether one of them is silent."""
    said: list[tuple[Tally, bool]] = []

    def ask(store: object, request: Request, config: object) -> tuple[list[Answer], list[int]]:
        if not said:
            raise KeyboardInterrupt
        tally, is_silent = said.pop(0)
        return [Answer(1, 0, NOW, tally)], [1] if is_silent else []

    monkeypatch.setattr("postern.cli.quarantine.check_served", lambda _: None)
    monkeypatch.setattr("postern.cli.quarantine.ask_workers", ask)
    return said


BOTH = ("quarantine", "delete", "PT-00000001.1", "PT-00000002.1")


@pytest.mark.parametrize(
    ("second", "is_silent", "code", "text"),
    [
        (Tally(count=1), False, 0, ""),
        (Tally(busy=1), False, 75, "PT-00000002.1: in other hands at this moment"),
        (Tally(), True, 75, "PT-00000002.1: a worker gave no answer"),
        (Tally(error="the disk is gone"), False, 75, "PT-00000002.1: a worker gave no answer"),
        (Tally(), False, 4, "PT-00000002.1: no longer held"),
    ],
    ids=["done", "busy", "silent", "error", "gone"],
)
def test_what_was_not_done_is_named_with_its_cause(
    holding: Postern,
    workers: list[tuple[Tally, bool]],
    second: Tally,
    is_silent: bool,  # noqa: FBT001 - a row of the table
    code: int,
    text: str,
) -> None:
    workers[:] = [(Tally(count=1), False), (second, is_silent)]
    said = holding(*BOTH)
    assert said.code == code
    assert text in said.err
    assert "PT-00000001.1 deleted" in said.out
    workers[:] = [(Tally(count=1), False), (second, is_silent)]
    told = holding(*BOTH, "--json")
    assert told.code == code
    assert told.whole["not_done"] == (["PT-00000002.1"] if code else [])


def test_what_was_done_before_an_interruption_is_whole(
    holding: Postern, workers: list[tuple[Tally, bool]]
) -> None:
    workers[:] = [(Tally(count=1), False)]
    words = ("quarantine", "release", "PT-00000001.1", "PT-00000003.1", "--unscanned")
    said = holding(*words, "--allow", "30d")
    assert said.code != 0
    assert "PT-00000001.1 released" in said.out
    rules = holding("rule", "list", "--mailbox", "wang@harbour.example", "--json").rows("rules")
    assert ["PT-00000001.1" in str(rule["reason"]) for rule in rules] == [True]
    workers[:] = [(Tally(count=1), False)]
    assert holding(*words, "--json").whole["ids"] == ["PT-00000001.1"]


def told(folder: Path, at: float, message: int = 1) -> None:
    """A letter that named this message arrived."""
    database = Database.open(folder / "data" / "site.db")
    store = TellingStore(database)
    letter = 100 + message
    store.add([Telling(letter, "wang@harbour.example", f"day {letter}", NOW, ((message, 0),))])
    store.conclude([letter], [], at)
    database.close()
