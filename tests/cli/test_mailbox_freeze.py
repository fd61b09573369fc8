"""``postern mailbox freeze`` and ``thaw``, where no server runs."""

from tests.cli.called import Postern

WANG = "wang@harbour.example"


def test_freeze_says_what_holds_and_what_nobody_does_while_the_server_stands_still(
    harbour: Postern,
) -> None:
    said = harbour("mailbox", "freeze", WANG, "--reason", "ticket 812", "--for", "7d")
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        f"{WANG} sends nothing from now on (F1); what waits of it is held.",
    )
    assert f"once it runs: postern queue hold --account {WANG}" in said.out
    again = harbour("mailbox", "freeze", WANG, "--reason", "another", "--for", "1d")
    assert again.out.startswith(f"{WANG} is frozen already until ")
    assert "that stays as it is" in again.out
    thawed = harbour("mailbox", "thaw", WANG)
    assert f"once it runs: postern queue release --account {WANG}" in thawed.out
