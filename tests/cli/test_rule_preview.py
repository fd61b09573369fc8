"""``postern rule … --dry-run`` and ``postern temporary list`` as postmasters call them."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.called import Postern, Said

from postern.journal.days import day_file, day_of
from postern.journal.record import KNOWN, KNOWN_EARLY, DecisionRecord, HeardRecord
from postern.journal.settings import JournalSettings
from postern.journal.store.writer import JournalWriter
from postern.runtime.clock import SystemClock

H = "harbour.example"
WANG = f"wang@{H}"
DAY_S = 86_400.0

Came = Callable[..., None]


@pytest.fixture
def came(folder: Path, harbour: Postern) -> Came:
    """Mail that came ``times`` times, ``days`` ago."""
    numbers = iter(range(1, 10_000))
    clock = SystemClock()

    def write(
        early: str = "",
        *,
        times: int = 1,
        days: float = 1.0,
        sender: str = "chen@tea.example",
        found: str | None = None,
        proven: str = "",
        flags: int = 0,
    ) -> None:
        at = clock.now() - days * DAY_S
        authors = None if found is None else f"{sender}\n"
        heard = [
            HeardRecord(
                next(numbers), at, "198.51.100.24",
                [DecisionRecord(WANG, H, early=early, found=found, flags=flags)],
                "mail.tea.example", "", sender, proven, authors, "", proven, "Tea, fresh",
            )
            for _ in range(times)
        ]  # fmt: skip
        with JournalWriter(folder / "data" / "journal", 0, clock, JournalSettings()) as writer:
            writer.append([], heard)

    return write


def test_a_dry_run_tells_what_changes_and_saves_nothing(harbour: Postern, came: Came) -> None:
    came("dnsbl.listed", times=911)
    came("", found="dmarc.reject", times=2, sender="li@pier.example", days=2.0)
    came("virus.found", sender="x@offers.example")
    came("", found="", times=9)
    said = harbour("rule", "allow", "all", "--domain", H, "--dry-run")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[:5] == [
        "On your last 30 days this rule would have changed 913 of 923 decisions:",
        "        911  refused (dnsbl.listed) -> delivered",
        "          2  refused (dmarc.reject) -> delivered",
        "          1  stays refused (virus.found)",
        "911 of the changed never sent their content: judged by what was seen.",
    ]
    assert lines[6].split() == ["AT", "FROM", "TO", "SUBJECT", "WAS", "WOULD", "BE", "TRACE"]
    assert "chen@tea.example" in lines[7]
    assert "Tea, fresh" in lines[7]
    assert "PT-" in lines[7]
    assert lines[-1] == "and 893 more; --json lists up to 1,000"
    assert harbour("rule", "list").out == ""


def test_a_dry_run_as_json_lists_every_message(harbour: Postern, came: Came) -> None:
    came("ptr.missing", times=3)
    came("", found="spf.fail")
    said = harbour("rule", "system", "ptr.missing", "hold", "--domain", H, "--dry-run", "--json")
    whole = said.whole
    assert (whole["action"], whole["days"], whole["decisions"], whole["changed"]) == (
        "preview", 30, 4, 3,
    )  # fmt: skip
    assert whole["changes"] == [
        {
            "count": 3,
            "before": {"effect": "refuse", "check": "ptr.missing"},
            "after": {"effect": "hold", "check": "ptr.missing"},
        }
    ]
    messages = whole["messages"]
    assert isinstance(messages, list)
    assert len(messages) == 3
    assert messages[0]["recipient"] == messages[0]["mailbox"] == WANG
    assert (messages[0]["mail_from"], messages[0]["subject"]) == ("chen@tea.example", "Tea, fresh")
    assert messages[0]["trace"].startswith("PT-")
    assert messages[0]["unseen"] is True
    assert whole["smaller"] is None
    assert (
        "this setting would have changed 3"
        in harbour("rule", "system", "ptr.missing", "hold", "--domain", H, "--dry-run").out
    )


def test_a_smaller_rule_is_offered_that_frees_only_whom_they_have_written_to(
    harbour: Postern, came: Came
) -> None:
    came("dnsbl.listed", times=50, sender="x@offers.example")
    came("", found="spf.fail", times=2, flags=KNOWN | KNOWN_EARLY, proven="tea.example")
    words = ("allow", "all", "--domain", H, "--waive", "dnsbl,spf", "--for", "14d")
    said = harbour("rule", *words, "--reason", "ticket 9", "--dry-run")
    offered = (
        f"postern rule allow known --domain {H} --waive dnsbl,spf --for 14d --reason 'ticket 9'"
    )
    assert f"  {offered}" in said.out.splitlines()
    assert "Of these, 2 from 1 sender whom their recipients have written to." in said.out
    whole = harbour("rule", *words, "--reason", "ticket 9", "--dry-run", "--json").whole
    assert whole["smaller"] == {"command": offered, "messages": 2, "senders": 1}
    known = harbour("rule", "allow", "known", "--domain", H, "--dry-run", "--json").whole
    assert known["changed"] == 2  # what it promises is what it does


def test_nothing_on_file_is_couldn_t_tell(harbour: Postern) -> None:
    said = harbour("rule", "block", "@offers.example", "--dry-run")
    assert said.code == 3
    assert said.out == "No decisions about this mail are on file for the last 30 days.\n"


def test_what_was_not_kept_is_said(harbour: Postern, came: Came, folder: Path) -> None:
    came("ptr.missing")
    day = day_of(SystemClock().now()) - 3
    old = day_file(folder / "data" / "journal", day, 0).path
    came(days=3.0)
    import sqlite3  # noqa: PLC0415 - to make a file as an older Postern left it

    connection = sqlite3.connect(old)
    connection.execute("DROP TABLE decision")
    connection.execute("INSERT INTO folded VALUES (x'00', 'ptr.missing', 42, 1.0, 2.0)")
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()
    out = harbour("rule", "block", "all", "--dry-run").out
    assert "of 1 decisions" in out
    assert " were not kept in this form." in out
    assert "42 refused in a flood were only counted: nobody can judge them again." in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("allow", "all", "--dry-run"), 2, "name the checks with --waive"),
        (("block", "nonsense", "--dry-run"), 64, "names no mail"),
        (("block", "all"), 64, "a rule needs a reason"),
        (("block", "all", "--domain", "other.example", "--dry-run"), 4, "other.example"),
        (("system", "virus.found", "off", "--dry-run"), 2, "virus.found is locked"),
        (("system", "spf.fail", "off", "--domain", "no.example", "--dry-run"), 4, "no.example"),
        (("end", "D9", "--dry-run"), 4, "there is no rule D9"),
    ],
)
def test_a_dry_run_refuses_what_could_not_be_saved(
    harbour: Postern, words: tuple[str, ...], code: int, text: str
) -> None:
    said = harbour("rule", *words)
    assert said.code == code
    assert text in said.err


def test_ending_a_rule_can_be_tried_as_well(harbour: Postern, came: Came) -> None:
    harbour("rule", "allow", "198.51.100.24", "--domain", H, "--reason", "they moved")
    came("ptr.missing", times=4)
    came("", found="")
    said = harbour("rule", "end", "D1", "--dry-run")
    assert "          4  delivered -> refused (ptr.missing)" in said.out.splitlines()
    assert harbour("rule", "list").out != ""


# --- before it is saved ---------------------------------------------------------------------------


def at_terminal(harbour: Postern, answer: str, *words: str) -> Said:
    return harbour(*words, stdin=answer.encode(), at_terminal=True)


def test_a_person_is_asked_before_all_mail_is_let_through(harbour: Postern, came: Came) -> None:
    came("dnsbl.listed", times=3)
    words = ("rule", "allow", "all", "--domain", H, "--reason", "a test")
    said = at_terminal(harbour, "n\n", *words)
    assert said.code == 1
    assert "would have changed 3 of 3 decisions" in said.err
    assert "Save it? [y/N]" in said.err
    assert harbour("rule", "list").out == ""
    assert at_terminal(harbour, "y\n", *words).code == 0
    assert "D1" in harbour("rule", "list").out


def test_a_person_is_asked_only_where_much_changes(harbour: Postern, came: Came) -> None:
    came("dnsbl.listed", times=50)
    words = ("rule", "hold", "@tea.example", "--domain", H, "--reason", "a test")
    assert at_terminal(harbour, "", *words).code == 0
    came("", found="", times=51, sender="li@pier.example")
    words = ("rule", "hold", "@pier.example", "--domain", H, "--reason", "a test")
    assert at_terminal(harbour, "n\n", *words).code == 1
    assert at_terminal(harbour, "", *words, "--yes").code == 0
    setting = ("rule", "system", "dnsbl.listed", "off", "--domain", H)
    assert at_terminal(harbour, "n\n", *setting).code == 0  # they are held by now, whatever it says


def test_a_script_is_warned_and_not_asked(harbour: Postern, came: Came) -> None:
    came("dnsbl.listed", times=99)
    said = harbour("rule", "allow", "all", "--domain", H, "--reason", "a test")
    assert said.code == 0
    assert said.err == (
        "postern: this lets all mail through; --dry-run shows what it would have done\n"
    )
    assert harbour("rule", "block", "all", "--domain", H, "--reason", "x", "--yes").err != ""


def test_how_far_it_is_is_shown_to_a_person_alone(
    harbour: Postern, came: Came, monkeypatch: pytest.MonkeyPatch
) -> None:
    came("dnsbl.listed")

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen)
        patch.setenv("TERM", "xterm")
        assert harbour("rule", "block", "all", "--dry-run").code == 0
    assert "the last 30 days" in screen.getvalue()
    assert harbour("rule", "block", "all", "--dry-run").err == ""


# --- temporaries ----------------------------------------------------------------------------------


def one_line(harbour: Postern) -> dict[str, object]:
    lines = harbour("temporary", "list", "--json").whole["temporaries"]
    assert isinstance(lines, list)
    (line,) = lines
    return dict(line)


def test_a_rule_that_is_still_needed_says_by_how_much_mail(harbour: Postern, came: Came) -> None:
    harbour("rule", "allow", "198.51.100.24", "--domain", H, "--reason", "ticket 812")
    came("ptr.missing", times=2)
    came("", found="", times=10)
    line = one_line(harbour)
    assert (line["id"], line["kind"], line["reason"]) == ("D1", "rule", "ticket 812")
    assert (line["needed"], line["proposal"]) == ({"mails": 12, "would_have_passed": 10}, None)
    assert "yes: 2 of the last 12 needed it" in harbour("temporary", "list").out


def test_a_rule_whose_mail_would_have_passed_anyway_is_proposed_to_end(
    harbour: Postern, came: Came
) -> None:
    harbour("rule", "allow", "198.51.100.24", "--domain", H, "--reason", "ticket 812")
    came("ptr.missing", times=3, days=5.0)  # before they mended it
    came("", found="", times=12)
    line = one_line(harbour)
    assert line["proposal"] == "12 of the last 12 would have passed anyway"
    assert line["undo"] == "postern rule end D1"
    out = harbour("temporary", "list").out
    assert "12 of the last 12 would have passed anyway: end it? postern rule end D1" in out


def test_of_few_mails_nobody_can_tell(harbour: Postern, came: Came) -> None:
    harbour("rule", "allow", "198.51.100.24", "--domain", H, "--reason", "ticket 812")
    came("", found="", times=4)
    assert one_line(harbour)["proposal"] is None
    assert (
        "perhaps not: 4 of the last 4 would have passed anyway" in harbour("temporary", "list").out
    )


def test_what_blocks_is_listed_and_not_tested(harbour: Postern, came: Came) -> None:
    came("", found="")
    harbour("rule", "block", "@tea.example", "--for", "14d", "--domain", H, "--reason", "spam")
    line = one_line(harbour)
    assert (line["needed"], line["proposal"]) == (None, None)
    assert line["until"] is not None
