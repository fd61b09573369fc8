"""``postern resolver`` as operators and scripts call it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.called import Postern
from tests.cli.conftest import CONFIG

RESOLVERS = """
[[resolver]]
name = "home"
servers = ["127.0.0.1:53"]
[[resolver]]
name = "us1"
servers = ["192.0.2.53:53"]
[[blocklist]]
zone = "bl.example"
"""


@pytest.fixture
def abroad(harbour: Postern, folder: Path) -> Postern:
    (folder / "postern.toml").write_text(CONFIG + RESOLVERS)
    return harbour


def test_a_zone_is_added_listed_and_ended(abroad: Postern) -> None:
    said = abroad("resolver", "add", "tea-trading.example", "--via", "us1", "--for", "30d")
    assert said.code == 0
    first, undo = said.out.splitlines()
    assert first.startswith("Added Z1 until ")
    assert first.endswith("tea-trading.example and all below it is looked up through us1 first.")
    assert undo.endswith("undo: postern resolver end Z1")
    table = abroad("resolver", "list").out.splitlines()
    assert table[0].split() == ["ID", "ZONE", "VIA", "UNTIL", "USED", "LAST", "BY", "REASON"]
    assert table[1].split()[:3] == ["Z1", "tea-trading.example", "us1"]
    assert "no reason was given" in table[1]
    assert abroad("resolver", "end", "Z1").out.startswith("Ended Z1: tea-trading.example")
    assert abroad("resolver", "list").out == ""
    assert abroad("resolver", "end", "Z1").code == 4


def test_a_zone_is_an_exception_among_others(abroad: Postern) -> None:
    abroad("resolver", "add", "tea.example", "--via", "us1", "--for", "30d", "--reason", "ticket 1")
    (line,) = abroad("temporary", "list", "--json").rows("temporaries")
    assert (line["id"], line["kind"], line["reason"]) == ("Z1", "resolver", "ticket 1")
    assert line["what"] == "look tea.example up through us1 first"
    assert line["undo"] == "postern resolver end Z1"
    assert "postern resolver end" not in abroad("temporary", "list").out  # nothing speaks for it


def test_json_has_its_keys(abroad: Postern) -> None:
    words = ("tea.example", "--via", "us1", "--for", "24h", "--reason", "ticket 812", "--json")
    added = abroad("resolver", "add", *words).json("resolver")
    assert (added["id"], added["zone"], added["via"]) == ("Z1", "tea.example", "us1")
    assert (added["reason"], added["hits"], added["last_used_at"]) == ("ticket 812", 0, None)
    assert added["until"] is not None
    again = abroad("resolver", "add", "tea.example", "--via", "us1", "--json")
    assert again.json("resolver")["id"] == "Z2"
    assert "Z1 (tea.example via us1) ended: this is in its place" in again.err
    assert abroad("resolver", "list", "--json").names("resolvers", "id") == ["Z2"]
    assert abroad("resolver", "end", "Z2", "--json").whole["action"] == "ended"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("tea.example", "--via", "moon"), 64, "no resolver named 'moon'; there are home, us1"),
        (("tea.example", "--via", "home"), 64, "which is asked first for every zone anyway"),
        (("tea.example",), 64, "--via"),
        (("a..b", "--via", "us1"), 64, "is no zone"),
        (("tea.example", "--via", "us1", "--for", "1y"), 64, "write how long, such as 30m"),
        (("bl.example", "--via", "us1"), 2, "bl.example is a block list"),
        (("Zen.BL.example", "--via", "us1"), 2, "bl.example is a block list"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    abroad: Postern, words: Sequence[str], code: int, text: str
) -> None:
    said = abroad("resolver", "add", *words)
    assert said.code == code
    assert text in said.err
    assert abroad("resolver", "list").out == ""


def test_a_resolver_that_left_the_configuration_is_told_in_the_list(
    abroad: Postern, folder: Path
) -> None:
    abroad("resolver", "add", "tea.example", "--via", "us1")
    (folder / "postern.toml").write_text(CONFIG)
    assert "us1 (not in postern.toml: of no use)" in abroad("resolver", "list").out
