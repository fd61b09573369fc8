"""The table of what servers say when they want less mail, shipped and of one's own."""

import time
import tomllib
from pathlib import Path

import pytest

from postern.queue.throttles import (
    SHIPPED,
    BadTableError,
    load_throttles,
    read_table,
)

GMAIL = (
    "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your"
    " IP address."
)
YAHOO = (
    "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or"
    " user complaints - 4.16.55.1"
)
MICROSOFT = (
    "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP"
    " reputation."
)


@pytest.mark.parametrize(
    ("group", "said", "for_s"),
    [
        ("google", GMAIL, 1800),
        ("yahoo", YAHOO, 3600),
        ("yahoo", "421 4.7.1 [TS03] All messages from 192.0.2.1 will be deferred", 14_400),
        ("outlook", MICROSOFT, 1800),
        ("outlook", "451 4.7.500 Server busy. Please try again later", 300),
        ("qq", "450 Connection frequency limited", 1800),
        ("netease", "421 HL:ICC 192.0.2.1", 120),
        ("netease", "421 HL:REP 192.0.2.1", 7200),
        ("small.test", "421 4.3.2 too many concurrent connections from you", 60),
        ("small.test", GMAIL, None),
        ("google", "450 4.2.1 The user is receiving mail at a rate that is too high", None),
        ("small.test", "452 4.2.2 mailbox full", None),
        ("small.test", "450 4.7.1 greylisted", None),
    ],
)
def test_what_is_said_by_whom_means_so_long(group: str, said: str, for_s: float | None) -> None:
    found = load_throttles().find(group, said)
    assert (None if found is None else found.for_s) == for_s


@pytest.mark.parametrize(
    "said",
    [
        "450 4.7.0 <rate-limit@big.example>: Recipient address rejected",
        '450 4.7.0 <"too many connections"@big.example>: not now',
        "450 4.7.0 throttle@big.example is not known here yet",
    ],
)
def test_a_server_that_repeats_an_address_suspends_nobody(said: str) -> None:
    assert load_throttles().find("big.example", said) is None
    assert load_throttles().find("big.example", f"{said}, rate limit reached") is not None


def test_the_shipped_table_names_groups_that_there_are() -> None:
    providers = tomllib.loads(
        (SHIPPED.parents[1] / "routing" / "providers.toml").read_text("utf-8")
    )
    for entry in read_table(SHIPPED):
        assert entry.groups <= set(providers)


def test_entries_of_one_s_own_come_first(tmp_path: Path) -> None:
    own = tmp_path / "throttles.toml"
    own.write_text('[[throttle]]\ngroups = ["google"]\nreply = "4\\\\.7\\\\.28"\nfor_s = 60\n')
    throttles = load_throttles(own)
    found = throttles.find("google", GMAIL)
    assert found is not None
    assert found.for_s == 60
    assert throttles.find("yahoo", YAHOO) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[throttle]\n", "throttles.toml"),
        ("x = 1\n", "expected [[throttle]] tables"),
        ('[[throttle]]\nreply = "a"\n', "number 1: for_s"),
        ('[[throttle]]\nreply = "a"\nfor_s = 0\n', "for_s must be seconds"),
        ('[[throttle]]\nreply = "a"\nfor_s = true\n', "for_s must be seconds"),
        ('[[throttle]]\nreply = "("\nfor_s = 5\n', "reply: "),
        ("[[throttle]]\nfor_s = 5\n", "reply must be"),
        ('[[throttle]]\nreply = "a"\nfor_s = 5\ngroup = "x"\n', "its keys are"),
        ('[[throttle]]\nreply = "a"\nfor_s = 5\ngroups = "x"\n', "groups must be a list"),
    ],
)
def test_a_table_that_can_not_be_used_says_where_and_why(
    tmp_path: Path, text: str, says: str
) -> None:
    own = tmp_path / "throttles.toml"
    own.write_text(text)
    with pytest.raises(BadTableError) as caught:
        load_throttles(own)
    assert says in str(caught.value)


@pytest.mark.parametrize("more", ["a", " ", "too many ", "rate ", "\\", "try again late"])
def test_no_reply_holds_up_the_one_who_reads_it(tmp_path: Path, more: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[throttle]]\nreply = "(.*x)?.*y$"\nfor_s = 60\n')
    table = load_throttles(own)
    began = time.process_time()
    assert table.find("google", "421 4.7.0 " + more * (60_000 // len(more)) + "z") is None
    assert time.process_time() - began < 0.25
