"""docs/commands.md says what the commands say, and every promised command is there."""

import pytest
from scripts import commands

from postern.cli.root import COMMANDS

# What outside scripts call; names may be added, never taken away.
PROMISED = [
    "serve", "config check", "domain add", "domain list", "domain show", "domain set",
    "domain remove", "mailbox add", "mailbox list", "mailbox show", "mailbox set",
    "mailbox remove", "alias add", "alias list", "alias show", "alias set", "alias remove",
    "queue", "queue hold", "queue release", "queue retry", "queue cancel", "queue reroute", "why",
    "trace", "doctor", "sendmail", "mailq", "temporary list",
]  # fmt: skip


def test_page_is_in_step_with_the_commands() -> None:
    assert not commands.undocumented()
    assert commands.PAGE.read_text("utf-8") == commands.page(), "run: make docs"


@pytest.mark.parametrize("name", PROMISED)
def test_promised_command_is_documented(name: str) -> None:
    page = commands.PAGE.read_text("utf-8")
    assert f"## postern {name}\n" in page


def test_every_command_of_the_root_has_a_section() -> None:
    page = commands.PAGE.read_text("utf-8")
    for name in COMMANDS:
        assert f"## postern {name}" in page
