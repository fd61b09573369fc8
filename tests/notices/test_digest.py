import re
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest

from postern.mail.address import Address
from postern.notices.digest import Digest, Entry, Language, compose_digest
from postern.notices.held_words import why_held
from postern.notices.layout import moment
from postern.notices.settings import NoticeSettings
from postern.policy.rules.rule import DEFAULTS, LOCKED, UNTOLD, family_of

NOW = 1_795_600_000.0
DAY_S = 86_400.0
WANG = Address("wang", "harbour.example")
OFFER = Entry(
    "PT-9XKD-20HM.1",
    "li@tea-trading.example",
    "bounce@sender.example",
    "春茶报价 2026",
    "dmarc.reject",
    "",
    NOW - 3600,
    NOW + 7 * DAY_S,
    NOW + 30 * DAY_S,
)
RULED = replace(OFFER, id="PT-9XKD-20HN.2", check="rule.hold", rule="M3", subject="", mail_from="")


def compose(
    settings: NoticeSettings, *entries: Entry, more: int = 0, language: Language = Language.BOTH
) -> Digest:
    return compose_digest(
        WANG, entries, more, language=language, trace="PT-0000-0001", settings=settings, now=NOW
    )


def parse(digest: Digest) -> tuple[EmailMessage, str, str]:
    """The letter, its words, and its page."""
    parsed = message_from_bytes(digest.content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    words, page = parsed.iter_parts()
    assert not words.defects + page.defects
    assert isinstance(words, EmailMessage)
    assert isinstance(page, EmailMessage)
    return parsed, str(words.get_content()), str(page.get_content())


class Page(HTMLParser):
    """The tags and attributes of a page, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.seen = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.seen += data


def test_a_letter_is_words_and_page_in_both_languages(settings: NoticeSettings) -> None:
    digest = compose(settings, OFFER)
    parsed, words, page = parse(digest)
    assert parsed.get_content_type() == "multipart/alternative"
    assert parsed["Subject"] == "1 message is held for you / 1 封邮件已隔离"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Content-Language"] == "en, zh-Hans"
    assert parsed["To"] == "wang@harbour.example"
    assert parsed["Reply-To"] == "postmaster@harbour.example"
    assert digest.sender.address is None
    for text in (" ".join(words.split()), Page(page).seen):
        for wanted in (
            "li@tea-trading.example",
            "bounce@sender.example",
            "春茶报价 2026",
            "nothing proves that it comes from the address it shows",
            "无法证明邮件来自所显示的发件人",
            "PT-9XKD-20HM.1",
            "UTC+8",
            "postern quarantine release PT-9XKD-20HM.1",
            "postmaster@harbour.example",
            "放行",
        ):
            assert wanted in text


@pytest.mark.parametrize(
    ("language", "there", "missing"),
    [(Language.EN, "held for you", "隔离"), (Language.ZH, "隔离", "held for you")],
    ids=["en", "zh"],
)
def test_a_letter_is_in_one_language_where_that_is_wanted(
    settings: NoticeSettings, language: Language, there: str, missing: str
) -> None:
    parsed, words, page = parse(compose(settings, OFFER, language=language))
    assert parsed["Content-Language"] == language.tags[0]
    for text in (words + str(parsed["Subject"]), page):
        assert there in text
        assert missing not in text


def test_a_rule_and_what_is_left_for_the_next_letter_are_named(settings: NoticeSettings) -> None:
    parsed, words, page = parse(compose(settings, OFFER, RULED, more=7))
    assert str(parsed["Subject"]).startswith("9 messages are held for you")
    for text in (words, page):
        assert "(M3)" in text
        assert "7 more are held" in text
        assert "另有 7 封" in text
    assert words.count("Sent as") == 2
    assert "none" in words


def test_senders_that_are_the_same_are_said_once(settings: NoticeSettings) -> None:
    same = replace(OFFER, mail_from="Li@Tea-Trading.example")
    _, words, _ = parse(compose(settings, same))
    assert "Sent as" not in words


def test_what_a_stranger_wrote_stays_text(settings: NoticeSettings) -> None:
    evil = "\r\nBcc: x@y.example\r\n\r\n<script>alert(1)</script>\u202e<img src=http://x.example>\x1b[2J"
    parsed, words, page = parse(
        compose(settings, replace(OFFER, subject=evil, shown_from=evil, mail_from=evil))
    )
    assert parsed["Bcc"] is None
    assert "\u202e" not in words + page
    assert "\x1b" not in words + page
    assert not {"script", "img"} & set(Page(page).tags)
    assert not [line for line in words.splitlines() if line.startswith(("Bcc", "<"))]


def test_the_page_fetches_and_links_nothing_and_follows_the_readers_colours(
    settings: NoticeSettings,
) -> None:
    _, words, page = parse(compose(settings, OFFER, RULED))
    found = Page(page)
    assert not {"a", "img", "link", "script", "style", "iframe"} & set(found.tags)
    assert not {name for name, _ in found.attributes} & {"href", "src", "background", "onclick"}
    assert "url(" not in page
    assert not re.search(r"https?:", page + words)
    assert ("name", "color-scheme") in found.attributes
    assert not re.search(r"(?<!-)color: ?[#a-z]", page.replace("color-scheme:", ""))


def test_lines_fit_any_mail_server_and_the_letter_is_ascii(settings: NoticeSettings) -> None:
    long = replace(OFFER, subject="长" * 500, shown_from="a" * 900 + "@b.example")
    content = compose(settings, *[long] * 200).content
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 78
    assert content.count(b"\n") == content.count(b"\r\n")
    assert len(content) < 1_200_000


@pytest.mark.parametrize(
    ("check", "en", "zh"),
    [
        ("virus.couldnt-tell", "it could not be scanned for viruses", "无法判定是否含有病毒"),
        ("spf.couldnt-tell", "it could not be checked whether", "无法判定"),
        ("mailfrom.dns-timeout", "it could not be checked whether", "无法判定"),
        ("new-one.couldnt-tell", "one of the checks could not be made", "无法判定"),
    ],
    ids=["virus", "spf", "mailfrom", "any"],
)
def test_what_could_not_be_told_is_not_told_as_a_fail(
    settings: NoticeSettings, check: str, en: str, zh: str
) -> None:
    assert why_held(check).en.startswith(en)
    assert why_held(check).zh.startswith(zh) or check.startswith("new-one.")
    _, words, _ = parse(compose(settings, replace(OFFER, check=check)))
    said = " ".join(words.split())
    assert why_held(check).en in said
    assert "a virus was found" not in said


def test_every_check_that_may_be_untold_has_words_of_its_own_for_that() -> None:
    other = why_held("no-such.couldnt-tell")
    families = {family_of(check) for check in {*DEFAULTS, *UNTOLD}} - (LOCKED - {"virus"})
    families -= {"standards", "rate"}  # what they look at is all here
    assert [one for one in families if why_held(f"{one}.couldnt-tell") == other] == []


def test_the_letter_says_until_when_mail_is_safe_and_when_it_goes(settings: NoticeSettings) -> None:
    entry = replace(OFFER, safe_until=NOW + 7 * DAY_S)
    _, words, page = parse(compose(settings, entry, language=Language.EN))
    said = " ".join(words.split())
    assert 'kept until the day beside "Kept until". From then on it may be thrown away' in said
    assert 'thrown away on the day beside "Leaves by"' in said
    lines = words.splitlines()
    (first,) = [line for line in lines if line.startswith("Kept until")]
    (last,) = [line for line in lines if line.startswith("Leaves by")]
    day = {"safe": moment(entry.safe_until, settings), "last": moment(entry.until, settings)}
    assert day["safe"] in first
    assert day["last"] in last
    assert all(text in Page(page).seen for text in day.values())
    _, words, _ = parse(compose(settings, entry, language=Language.ZH))
    assert "可能提前删除" in "".join(words.split())
    assert "至少保留到" in words
    assert "最晚删除于" in words


def test_every_check_that_may_hold_has_words_of_its_own() -> None:
    other = why_held("no.such-check")
    families = {family_of(check) for check in DEFAULTS} - (LOCKED - {"virus"})
    assert [family for family in families if why_held(f"{family}.x") == other] == []
    assert why_held("rule.hold") != other
