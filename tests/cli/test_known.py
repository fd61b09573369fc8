"""``postern mailbox known`` and what ``rule explain`` says of somebody known."""

from pathlib import Path

from tests.cli.called import Postern

from postern.directory.correspondents import Notebook
from postern.directory.model import Mailbox
from postern.directory.store.correspondents import CorrespondentStore
from postern.directory.store.site import SiteStore
from postern.mail.address import Address
from postern.runtime.clock import FakeClock, SystemClock

H = "harbour.example"
WANG = f"wang@{H}"
CHEN = "chen@tea.example"


def wrote(folder: Path, times: int = 1) -> None:
    site = SiteStore.open(folder / "data", FakeClock(), "test")
    mailbox = site.mailbox(WANG)
    assert isinstance(mailbox, Mailbox)
    notebook, now = Notebook(), SystemClock().now()
    for _ in range(times):
        notebook.wrote(mailbox.id, Address("Chen", "tea.example"), now)
    notebook.reached(mailbox.id, Address("chen", "tea.example"), now)
    store = CorrespondentStore.open(folder / "data")
    store.prepare()
    store.write(notebook.take())
    store.close()
    site.close()


def test_before_anything_was_sent_nobody_is_known_and_no_file_is_made(
    harbour: Postern, folder: Path
) -> None:
    assert harbour("mailbox", "known", WANG, "--json").names("known", "address") == []
    assert harbour("mailbox", "known", WANG, "--forget", CHEN).code == 4
    assert not (folder / "data" / "correspondents.db").exists()


def test_who_is_known_is_shown_and_forgotten(harbour: Postern, folder: Path) -> None:
    wrote(folder, 2)
    assert '"times":2' in harbour("mailbox", "known", WANG, "--json").out.replace(" ", "")
    assert CHEN in harbour("mailbox", "known", "WANG@Harbour.example").out
    assert harbour("mailbox", "known", WANG, "--forget", "CHEN@tea.example").code == 0
    assert harbour("mailbox", "known", WANG, "--json").names("known", "times") == []
    assert harbour("mailbox", "known", WANG, "--forget", CHEN).code == 4
    assert harbour("mailbox", "known", f"nobody@{H}").code == 4


def test_explain_says_so_and_what_it_changes(harbour: Postern, folder: Path) -> None:
    wrote(folder)
    said = harbour("rule", "explain", WANG, "--from", CHEN, "--json")
    assert said.json("known")["times"] == 1
    effects = dict(zip(said.names("checks", "check"), said.names("checks", "effect"), strict=True))
    assert effects["dnsbl.listed"] == "hold"
    assert effects["greylist.wait"] == "accept"
    assert effects["virus.found"] == "refuse"
    text = harbour("rule", "explain", WANG, "--from", CHEN).out
    assert f"{WANG} has written to them, once, last on " in text
    stranger = harbour("rule", "explain", WANG, "--from", "ann@tea.example", "--json")
    assert stranger.whole["known"] is None
    assert "has written" not in harbour("rule", "explain", WANG, "--from", "ann@tea.example").out
    harbour("rule", "allow", "known", "--mailbox", WANG, "--reason", "old friends")
    said = harbour("rule", "explain", WANG, "--from", CHEN, "--json")
    assert said.json("decides") == {"effect": "accept", "rule": None}
    assert said.whole["rules"] == ["M1"]
