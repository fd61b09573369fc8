"""``postern domain|mailbox|alias`` as scripts and people call them: codes, JSON, sentences."""

import os
import pwd
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.called import Postern, Said

from postern.directory.passwords import verify
from postern.directory.reader import Directory
from postern.directory.resolution import Resolved
from postern.mail.address import Address
from postern.runtime.database.engine import Database
from postern.runtime.database.watch import ChangeWatch

H = "harbour.example"


def one_sentence(said: Said) -> str:
    assert said.out == ""
    assert said.err.startswith("postern: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("postern: ").strip()


# --- domain ---


def test_domain_is_added_shown_listed_changed_removed(postern: Postern) -> None:
    assert postern("domain", "add", "Harbour.Example").code == 0
    shown = postern("domain", "show", H, "--json").json("domain")
    assert shown | {"created_at": ""} == {
        "name": H,
        "to": None,
        "catch_all": None,
        "separator": "+",
        "quota_bytes": None,
        "created_at": "",
        "mailboxes": 0,
        "aliases": 0,
    }
    assert (
        postern("domain", "set", H, "--separator", "-", "--json").json("domain")["separator"] == "-"
    )
    assert postern("domain", "set", H, "--no-separator").code == 0
    assert postern("domain", "list", "--json").names("domains", "name") == [H]
    assert H in postern("domain", "list").out
    assert postern("domain", "show", H).out.startswith(f"{H}\n  mail")
    assert postern("domain", "remove", H).code == 0
    assert postern("domain", "show", H).code == 4
    assert postern("domain", "list").out == ""


def test_domain_with_its_own_server_is_passed_on(postern: Postern) -> None:
    added = postern("domain", "add", "gw.example", "--to", "[2001:db8::1]:2525", "--json")
    assert added.json("domain")["to"] == "[2001:db8::1]:2525"
    changed = postern("domain", "set", "gw.example", "--to", "mail.gw.example", "--json")
    assert changed.json("domain")["to"] == "mail.gw.example:25"
    assert postern("mailbox", "add", "a@gw.example").code == 2
    assert postern("domain", "set", "gw.example", "--here").code == 0
    assert postern("mailbox", "add", "a@gw.example").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("domain", "add", H), 2, "already"),
        (("domain", "add", "no domain"), 64, "not a domain name"),
        (("domain", "add", "x.example", "--to", "host:0"), 64, "HOST:PORT"),
        (("domain", "show", "harbor.example"), 4, f"did you mean {H}?"),
        (("domain", "set", H), 64, "nothing to change"),
        (("domain", "set", H, "--to", "x:25", "--here"), 64, "contradict"),
        (("domain", "set", H, "--catch-all", "nobody"), 64, "not an address"),
        (("domain", "set", H, "--catch-all", f"x@{H}"), 2, "add it first"),
        (("domain", "remove", H), 2, "--yes removes them"),
        (("mailbox", "add", f"wang@{H}"), 2, "already"),
        (("mailbox", "add", "wang@tea.example"), 4, "no domain tea.example"),
        (("mailbox", "add", f"x@{H}", "--quota", "5X"), 64, "not a size"),
        (("mailbox", "add", f"x@{H}", "--quota", "0"), 64, "not a size"),
        (("mailbox", "show", f"wagn@{H}"), 4, f"did you mean wang@{H}?"),
        (("mailbox", "set", f"wang@{H}"), 64, "nothing to change"),
        (("mailbox", "list", "tea.example"), 4, "no domain"),
        (("alias", "add", f"wang@{H}", "x@out.example"), 2, "is a mailbox"),
        (("alias", "add", f"a@{H}", "nowhere"), 64, "not an address"),
        (("alias", "add", f"a@{H}", f"a@{H}"), 2, f"a@{H} -> a@{H}"),
        (("alias", "show", f"wang@{H}"), 4, "is a mailbox"),
        (("alias", "remove", "postmaster"), 4, "postern alias add postmaster"),
    ],
)
def test_refusals_are_one_sentence_with_their_code(
    harbour: Postern, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = harbour(*arguments)
    assert said.code == code
    assert words in one_sentence(said)
    again = harbour(*arguments, "--json")
    assert (again.code, again.err) == (code, said.err)


@pytest.mark.parametrize("noun", ["domain", "mailbox", "alias"])
def test_wrong_use_is_64(harbour: Postern, noun: str) -> None:
    assert harbour(noun, "ad").code == 64
    assert harbour(noun, "add").code == 64
    assert harbour(noun, "list", "--jason").code == 64
    assert harbour(noun, "--help").code == 0


def test_domain_with_mailboxes_is_removed_with_yes(harbour: Postern) -> None:
    harbour("alias", "add", f"sales@{H}", f"wang@{H}")
    removed = harbour("domain", "remove", H, "--yes", "--json").json("domain")
    assert (removed["mailboxes"], removed["aliases"]) == (1, 1)
    assert harbour("domain", "list", "--json").names("domains", "name") == []
    assert harbour("mailbox", "list", "--json").names("mailboxes", "address") == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_person_at_a_terminal_is_asked(harbour: Postern, answer: str, code: int) -> None:
    said = harbour("domain", "remove", H, stdin=answer.encode(), at_terminal=True)
    assert said.code == code
    assert "Remove harbour.example with 1 mailbox and 0 aliases? [y/N]" in said.err


# --- mailbox ---


def stored_hash(folder: Path, local: str) -> str | None:
    connection = sqlite3.connect(folder / "data" / "site.db")
    (found,) = connection.execute(
        "SELECT password_hash FROM mailbox WHERE local = ?", (local,)
    ).fetchone()
    connection.close()
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("stdin", "password"),
    [
        (b"secret\n", "secret"),
        (b"secret", "secret"),
        (b"secret\r\nsecond line\n", "secret"),
        (b" two words \n", " two words "),
        ("grün\n".encode(), "gr\u00fcn"),
        (b"x" * 1024, "x" * 1024),
    ],
)
def test_password_is_one_line_of_standard_input(
    harbour: Postern, folder: Path, stdin: bytes, password: str
) -> None:
    said = harbour("mailbox", "add", f"li@{H}", "--password-stdin", stdin=stdin)
    assert said.code == 0
    hashed = stored_hash(folder, "li")
    assert hashed is not None
    assert verify(hashed, password)


@pytest.mark.parametrize("stdin", [b"", b"\n", b"x" * 1025, b"a\0b\n", b"\xff\n"])
def test_password_that_cannot_be_one_is_refused_before_anything_is_made(
    harbour: Postern, stdin: bytes
) -> None:
    said = harbour("mailbox", "add", f"li@{H}", "--password-stdin", stdin=stdin)
    assert said.code == 64
    assert "standard input" in one_sentence(said)
    assert harbour("mailbox", "show", f"li@{H}").code == 4


def test_mailbox_without_a_password_says_so(harbour: Postern) -> None:
    said = harbour("mailbox", "add", f"li@{H}", "--json")
    assert said.code == 0
    assert said.json("mailbox")["has_password"] is False
    assert f"postern mailbox set li@{H} --password-stdin" in said.err


@pytest.mark.parametrize(
    ("typed", "size_bytes", "shown"),
    [
        ("5G", 5 << 30, "5G"),
        ("500m", 500 << 20, "500M"),
        ("1TiB", 1 << 40, "1T"),
        ("1000", 1000, "1000"),
        ("none", None, "none"),
    ],
)
def test_quota_is_read_and_shown_as_people_write_it(
    harbour: Postern, typed: str, size_bytes: int | None, shown: str
) -> None:
    said = harbour("mailbox", "set", f"wang@{H}", "--quota", typed, "--json")
    assert said.json("mailbox")["quota_bytes"] == size_bytes
    assert f"quota      {shown}\n" in harbour("mailbox", "show", f"wang@{H}").out


def test_a_domain_has_a_quota_too(harbour: Postern) -> None:
    said = harbour("domain", "set", H, "--quota", "50G", "--json")
    assert said.json("domain")["quota_bytes"] == 50 << 30
    assert "quota      50G\n" in harbour("domain", "show", H).out
    assert harbour("domain", "set", H, "--catch-all", f"wang@{H}").code == 0
    assert "quota      50G\n" in harbour("domain", "show", H).out
    assert harbour("domain", "set", H, "--quota", "lots").code == 64
    harbour("domain", "set", H, "--quota", "none")
    assert "quota      none\n" in harbour("domain", "show", H).out


def test_what_a_mailbox_holds_is_counted_and_nothing_is_written(
    harbour: Postern, folder: Path
) -> None:
    assert harbour("mailbox", "show", f"wang@{H}", "--json").json("mailbox")["used_bytes"] == 0
    new = folder / "data" / "mail" / H / "wang" / "Maildir" / "new"
    new.mkdir(parents=True)
    (new / "1.M.host,S=3000").write_bytes(b"")
    assert "used       2.9K\n" in harbour("mailbox", "show", f"wang@{H}").out
    assert harbour("mailbox", "list").out.split()[4:] == [f"wang@{H}", "none", "-", "on"]
    harbour("mailbox", "set", f"wang@{H}", "--quota", "1M")
    assert harbour("mailbox", "list").out.split()[4:] == [f"wang@{H}", "1M", "2.9K", "on"]
    assert not (new.parent / "maildirsize").exists()


def test_who_stores_elsewhere_is_told_that_the_store_has_limits_of_its_own(
    harbour: Postern, folder: Path
) -> None:
    assert harbour("mailbox", "set", f"wang@{H}", "--quota", "5G").err == ""
    with (folder / "postern.toml").open("a") as file:
        file.write('[delivery]\nlmtp = "127.0.0.1:24"\n')
    for words in (("add", f"full@{H}"), ("set", f"wang@{H}")):
        assert "its own limits hold" in harbour("mailbox", *words, "--quota", "5G").err
    assert "its own limits hold" in harbour("domain", "set", H, "--quota", "5G").err
    shown = harbour("mailbox", "show", f"wang@{H}", "--json").json("mailbox")
    assert shown["used_bytes"] is None


def test_mailbox_is_switched_off_and_on_and_keeps_its_password(
    harbour: Postern, folder: Path
) -> None:
    before = stored_hash(folder, "wang")
    off = harbour("mailbox", "set", f"WANG@{H}", "--disable", "--json").json("mailbox")
    assert off["enabled"] is False
    assert "off" in harbour("mailbox", "list").out
    on = harbour("mailbox", "set", f"wang@{H}", "--enable", "--json").json("mailbox")
    assert on["enabled"] is True
    assert stored_hash(folder, "wang") == before


def test_no_command_prints_a_hash(harbour: Postern) -> None:
    for arguments in (("show", f"wang@{H}"), ("list",), ("set", f"wang@{H}", "--quota", "1G")):
        for form in ((), ("--json",)):
            said = harbour("mailbox", *arguments, *form)
            assert said.code == 0
            assert "argon2" not in said.out + said.err


def test_removed_mailbox_leaves_its_mail_and_names_what_leads_to_it(
    harbour: Postern, folder: Path
) -> None:
    mail = folder / "data" / "mail" / H / "wang" / "Maildir" / "new" / "1"
    mail.parent.mkdir(parents=True)
    mail.touch()
    harbour("alias", "add", f"sales@{H}", f"wang@{H}")
    said = harbour("mailbox", "remove", f"wang@{H}")
    assert said.code == 0
    assert f"these still lead to it: sales@{H}" in said.err
    assert mail.exists()


# --- alias ---


def test_alias_is_added_shown_listed_changed_removed(harbour: Postern) -> None:
    added = harbour("alias", "add", f"Sales@{H}", f"wang@{H}", "X@out.example", "--json")
    assert added.json("alias")["targets"] == [f"wang@{H}", "X@out.example"]
    assert added.json("alias")["missing"] == []
    assert harbour("alias", "set", f"sales@{H}", "y@out.example").code == 0
    shown = harbour("alias", "show", f"sales@{H}", "--json").json("alias")
    assert (shown["address"], shown["targets"]) == (f"sales@{H}", ["y@out.example"])
    assert harbour("alias", "list", H, "--json").names("aliases", "address") == [f"sales@{H}"]
    assert harbour("alias", "list").out.splitlines()[1].split() == [f"sales@{H}", "y@out.example"]
    assert harbour("alias", "remove", f"sales@{H}").code == 0
    assert harbour("alias", "show", f"sales@{H}").code == 4


def test_circle_is_printed_whole(harbour: Postern) -> None:
    harbour("alias", "add", f"a@{H}", f"b@{H}")
    harbour("alias", "add", f"b@{H}", f"c@{H}")
    said = harbour("alias", "add", f"c@{H}", f"a@{H}")
    assert said.code == 2
    assert one_sentence(said) == f"mail would go in a circle: c@{H} -> a@{H} -> b@{H} -> c@{H}"


def test_alias_to_nobody_is_made_with_a_warning(harbour: Postern) -> None:
    said = harbour("alias", "add", f"sales@{H}", f"later@{H}")
    assert said.code == 0
    assert f"nothing here answers for later@{H} yet" in said.err


def test_sites_postmaster_is_an_alias_without_a_domain(harbour: Postern) -> None:
    assert harbour("alias", "add", "postmaster", f"wang@{H}").code == 0
    assert harbour("alias", "list", "--json").names("aliases", "address") == ["postmaster"]
    assert harbour("alias", "show", "postmaster").out == f"postmaster\n  goes to  wang@{H}\n"
    assert harbour("alias", "remove", "postmaster").code == 0


# --- around ---


def test_change_holds_for_the_next_transaction_of_another_process(
    harbour: Postern, folder: Path
) -> None:
    path = folder / "data" / "site.db"
    database, watch = Database.open(path), ChangeWatch(path)
    worker = Directory(database, watch)
    worker.refresh()
    asked = Address("sales", H)
    assert not isinstance(worker.resolve(asked), Resolved)
    command = [sys.executable, "-m", "postern", "--config", str(folder / "postern.toml")]
    subprocess.run([*command, "alias", "add", f"sales@{H}", f"wang@{H}"], check=True)
    assert worker.refresh()
    assert isinstance(worker.resolve(asked), Resolved)
    watch.close()
    database.close()


def test_author_of_a_change_is_who_typed_it(
    harbour: Postern, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "chen")
    harbour("alias", "add", f"sales@{H}", f"wang@{H}")
    connection = sqlite3.connect(folder / "data" / "site.db")
    authors = [row[0] for row in connection.execute("SELECT author FROM change ORDER BY seq")]
    connection.close()
    assert authors[-1] == "cli:chen"


def test_missing_configuration_is_78(
    postern: Postern, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "postern.toml").unlink()
    said = postern("domain", "list")
    assert said.code == 78
    assert "postern.toml" in said.err


def test_database_of_a_newer_postern_is_78_and_a_damaged_one_75(
    harbour: Postern, folder: Path
) -> None:
    path = folder / "data" / "site.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    newer = harbour("domain", "list")
    assert newer.code == 78
    assert "newer Postern" in one_sentence(newer)
    path.write_bytes(b"no database at all" * 1000)
    damaged = harbour("domain", "list")
    assert damaged.code == 75
    assert "postern doctor" in one_sentence(damaged)


def test_wrong_user_is_told_whose_database_it_is(
    harbour: Postern, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    said = harbour("domain", "list")
    assert said.code == 77
    owner = (folder / "data" / "site.db").owner()
    assert f"belongs to {owner}" in one_sentence(said)


def test_file_in_the_way_of_the_data_folder_is_75(postern: Postern, folder: Path) -> None:
    (folder / "data").touch()
    said = postern("domain", "list")
    assert said.code == 75
    assert "Not a directory" in one_sentence(said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_data_made_by_root_belongs_to_the_servers_user(postern: Postern, folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    config = folder / "postern.toml"
    config.write_text(f'user = "nobody"\n{config.read_text()}')
    assert postern("domain", "add", H).code == 0
    owners = {path.stat().st_uid for path in (folder / "data", *(folder / "data").iterdir())}
    assert owners == {nobody.pw_uid}


def test_listing_longer_than_what_widths_are_taken_from_is_whole(
    harbour: Postern, folder: Path
) -> None:
    connection = sqlite3.connect(folder / "data" / "site.db")
    (domain_id,) = connection.execute("SELECT id FROM domain").fetchone()
    connection.executemany(
        "INSERT INTO mailbox VALUES (?, ?, ?, NULL, NULL, 1, 0)",
        [(f"{n:026}", domain_id, f"u{n}") for n in range(1_500)],
    )
    connection.commit()
    connection.close()
    assert len(harbour("mailbox", "list").out.splitlines()) == 1_502  # with the header
    assert len(harbour("mailbox", "list", "--json").names("mailboxes", "address")) == 1_501
