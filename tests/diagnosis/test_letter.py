"""The letter to whoever runs the sender's server."""

import re

import pytest
from tests.diagnosis.test_why import blocked, replace_struct

from postern.diagnosis import letter as module
from postern.diagnosis.letter import letter
from postern.journal.record import Because, RecipientRecord, Step
from postern.policy.rules.rule import DEFAULTS

CODE = "PT-7Q2M-K4XD"


def test_it_says_what_was_seen_and_what_would_help_in_both_languages() -> None:
    text = letter(blocked(), CODE, "mx.harbour.example")
    english, chinese = text.split("邮件管理员您好：")
    assert english.startswith(
        "To: postmaster@tea-trading.example\n"
        f"Subject: Your mail to wang@harbour.example was not accepted ({CODE})\n"
    )
    assert "  Because: mailfrom.dns-timeout, spf.couldnt-tell\n" in english
    assert "  It calls itself: srv-2003\n" in english
    assert "  1. See that every name server of tea-trading.example answers" in english
    assert "  2. Give the name that the server calls itself (HELO) an address in DNS.\n" in english
    assert "  3. " not in english  # both checks ask for the same thing, and it is said once
    assert "  追踪码: PT-7Q2M-K4XD\n" in chinese
    assert "  1. 请确认 tea-trading.example 的每一台域名服务器都能应答" in chinese
    assert "  2. " in chinese


def test_there_is_none_where_they_can_mend_nothing() -> None:
    record = RecipientRecord(
        "wang@harbour.example", "refused", because=Because("rule.block", "x", "recipient")
    )
    unmendable = replace_struct(
        blocked(), recipients=[record], steps=[Step("spf.fail", "pass")], because=None
    )
    assert letter(unmendable, CODE, "mx.harbour.example") == ""
    assert letter(blocked(mail_from=""), CODE, "mx.harbour.example") == ""
    assert letter(blocked(direction="out"), CODE, "mx.harbour.example") == ""


@pytest.mark.parametrize("check", sorted(module._MENDS))
def test_every_advice_can_be_filled_in(check: str) -> None:
    mend = module._MENDS[check]
    for text in (mend.english, mend.chinese):
        filled = text.format(ip="198.51.100.24", domain="tea.example")
        assert not re.search(r"[{}]", filled)
    assert mend.chinese.endswith("。")
    family = check.partition(".")[0]
    assert check in DEFAULTS or family in {one.partition(".")[0] for one in DEFAULTS}
