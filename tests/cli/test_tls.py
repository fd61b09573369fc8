"""``postern tls`` as operators and scripts call it."""

from pathlib import Path

import pytest
from tests.cli.called import Postern
from tests.cli.conftest import CONFIG

from postern.directory.store.site import SiteStore
from postern.routing.tls.domains.policy import Guarded
from postern.routing.tls.domains.store import TlsDomainStore
from postern.runtime.clock import SystemClock

IP = "203.0.113.7"
EXEMPT = ("tls", "exempt", IP, "--for", "7d", "--reason", "STARTTLS stalls, ticket 812")


@pytest.fixture
def guarded(harbour: Postern, folder: Path) -> Postern:
    """A site that has sent mail to a domain with MTA-STS at that address."""
    clock = SystemClock()
    site = SiteStore.open(folder / "data", clock, "worker-0")
    seen = Guarded(IP, "tea.example", "mta-sts", clock.now())
    TlsDomainStore(site.database, clock, "worker-0").note([seen])
    site.close()
    return harbour


def test_an_address_is_exempted_listed_and_ended(harbour: Postern) -> None:
    said = harbour(*EXEMPT)
    assert said.code == 0
    assert said.out.startswith("Added X1 until ")
    assert "mail to 203.0.113.7 is not encrypted on this hop" in said.out
    assert "undo: postern tls end X1" in said.out
    table = harbour("tls", "list").out.splitlines()
    assert table[0].split()[:4] == ["ID", "ADDRESS", "HOST", "UNTIL"]
    assert table[1].split()[:2] == ["X1", IP]
    assert "not yet" in table[1]
    assert "STARTTLS stalls, ticket 812" in table[1]
    assert harbour("tls", "end", "X1").out.startswith("Ended X1: mail to 203.0.113.7 is encrypted")
    assert "No address is exempted" in harbour("tls", "list").out
    assert harbour("tls", "end", "X1").code == 4


def test_it_is_an_exception_among_others_and_queue_tells_of_it(harbour: Postern) -> None:
    harbour(*EXEMPT)
    (line,) = harbour("temporary", "list", "--json").rows("temporaries")
    assert (line["id"], line["kind"]) == ("X1", "tls")
    assert line["what"] == "mail to 203.0.113.7 goes unencrypted"
    assert line["undo"] == "postern tls end X1"
    assert line["tested"] == "not tested yet"
    assert "No TLS to 203.0.113.7 until " in harbour("queue").out
    (told,) = harbour("queue", "--json").rows("unencrypted")
    assert (told["id"], told["address"]) == ("X1", IP)


def test_an_address_with_a_domain_that_asks_for_tls_is_refused(guarded: Postern) -> None:
    said = guarded(*EXEMPT)
    assert said.code == 2
    assert "203.0.113.7 serves tea.example (mta-sts)" in said.err
    assert "--i-accept-cleartext" in said.err
    assert "No address is exempted" in guarded("tls", "list").out


def test_only_a_named_person_accepts_clear_text(
    guarded: Postern, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "root")
    said = guarded(*EXEMPT, "--i-accept-cleartext")
    assert said.code == 2
    assert "nobody's name" in said.err
    monkeypatch.setenv("SUDO_USER", "wang")
    said = guarded(*EXEMPT, "--i-accept-cleartext")
    assert said.code == 0
    assert "cli:wang accepts clear text there" in said.out
    (line,) = guarded("tls", "list", "--json").rows("exemptions")
    assert (line["author"], line["accepts_cleartext"]) == ("cli:wang", True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("exempt", "mx.tea.example", "--reason", "x"), 64),
        (("exempt", IP), 64),
        (("exempt", IP, "--reason", ""), 2),
        (("exempt", IP, "--reason", "x", "--for", "soon"), 64),
        (("require", "no domain", "encrypt"), 64),
        (("require", "tea.example", "dane"), 64),
    ],
    ids=["name", "no-reason", "empty-reason", "for", "domain", "policy"],
)
def test_what_cannot_be_is_refused(harbour: Postern, words: tuple[str, ...], code: int) -> None:
    assert harbour("tls", *words).code == code


def test_tls_is_asked_for_a_domain_and_taken_back(harbour: Postern) -> None:
    said = harbour("tls", "require", "tea.example", "verify", "--reason", "contract")
    assert said.code == 0
    assert said.out.startswith("tea.example: mail is sent encrypted to hosts whose certificate")
    (line,) = harbour("tls", "list", "--json").rows("domains")
    assert (line["domain"], line["tls"], line["reason"]) == ("tea.example", "verify", "contract")
    assert "tea.example" in harbour("tls", "list").out
    assert harbour("tls", "require", "tea.example", "opportunistic").code == 0
    assert harbour("tls", "list", "--json").rows("domains") == []


def test_who_sends_all_mail_through_a_relay_is_told_what_a_rule_is_worth(
    harbour: Postern, folder: Path
) -> None:
    relay = '[[egress]]\nname = "us1"\nrelay = "us1.example:587"\n'
    (folder / "postern.toml").write_text(CONFIG + relay)
    said = harbour("tls", "require", "tea.example", "encrypt")
    assert said.code == 0
    assert "all mail leaves through us1" in said.err
    assert "us1" not in harbour("tls", "require", "tea.example", "opportunistic").err


def test_json_has_its_keys(harbour: Postern) -> None:
    made = harbour(*EXEMPT, "--json").json("exemption")
    assert (made["id"], made["address"], made["learned"]) == ("X1", IP, False)
    assert made["until"] is not None
    assert made["test"] == {"at": None, "good": 0, "text": ""}
    assert harbour("tls", "end", "X1", "--json").json("exemption")["id"] == "X1"
    asked = harbour("tls", "require", "tea.example", "encrypt", "--json").json("domain")
    assert (asked["domain"], asked["tls"]) == ("tea.example", "encrypt")
