from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy

from postern.mail.address import Address
from postern.mail.envelope import Sender
from postern.notices.held import held_notice
from postern.notices.notice import Kind, Origin, Original, RecipientEnd
from postern.notices.settings import NoticeSettings

EndMaker = Callable[..., RecipientEnd]
NOW = 1_795_600_000.0
LI = Address("li", "harbour.example")


def test_the_owner_learns_that_a_message_is_held(
    original: Original, settings: NoticeSettings, make_end: EndMaker
) -> None:
    outside = replace(original, origin=Origin.OUTSIDE)
    notice = held_notice(outside, make_end(is_ours=True), LI, settings=settings, now=NOW)
    assert notice.recipient == LI
    assert notice.kind is Kind.HELD
    assert notice.sender.address is None
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert parsed["Subject"] == 'Held for you: "Offer 2026-118" from wang@harbour.example'
    assert parsed["Auto-Submitted"] == "auto-generated"
    words = " ".join(str(parsed.get_content()).split())
    assert "not lost" in words
    assert "PT-9XKD-20HM" in words
    assert "保留" in words


def test_a_forged_subject_cannot_break_out(
    original: Original, settings: NoticeSettings, make_end: EndMaker
) -> None:
    evil = "x\r\nBcc: victim@a.example\r\n\r\n"
    about = replace(original, subject=evil, sender=Sender(Address(evil, "x.example")))
    notice = held_notice(about, make_end(), LI, settings=settings, now=NOW)
    parsed = message_from_bytes(notice.content)
    assert parsed["Bcc"] is None
    assert not parsed.defects
