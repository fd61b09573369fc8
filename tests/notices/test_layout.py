from datetime import UTC, timedelta, timezone

import pytest

from postern.notices.layout import LINE_CHARS, columns, paragraph_zh, quote, zone
from postern.notices.settings import NoticeSettings


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (timedelta(hours=8), "UTC+8"),
        (timedelta(hours=-3, minutes=-30), "UTC-3:30"),
        (timedelta(hours=5, minutes=45), "UTC+5:45"),
        (timedelta(), "UTC"),
    ],
)
def test_a_zone_is_told_by_its_distance_from_utc(offset: timedelta, name: str) -> None:
    tz = timezone(offset) if offset else UTC
    assert zone(0.0, NoticeSettings("mx.example", timezone=tz)) == name


def test_columns_wrap_beside_their_label() -> None:
    text = columns([("Why", "word " * 40), ("Code", "x")])
    lines = text.split("\n")
    assert lines[0].startswith("Why         word")
    assert lines[1].startswith(" " * 12 + "word")
    assert all(len(line) <= LINE_CHARS for line in lines)


def test_chinese_lines_stay_within_the_page_and_lose_nothing() -> None:
    source = "您的邮件未能送达 chen@tea-trading.example。" * 5
    wrapped = paragraph_zh(source)
    assert wrapped.replace("\n", "").replace(" ", "") == source.replace(" ", "")
    # One closing mark may hang over the edge rather than begin a line.
    assert all(len(line.encode("gb18030")) <= LINE_CHARS + 2 for line in wrapped.split("\n"))
    assert not any(line.startswith("。") for line in wrapped.split("\n"))


def test_a_quotation_is_one_indented_block() -> None:
    assert quote("550 no\r\nWhy         forged") == "  550 no Why forged"
    assert all(line.startswith("  ") for line in quote("word " * 500).split("\n"))
