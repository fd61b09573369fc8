from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest

from postern.mail.address import Address
from postern.mail.received import (
    header_date,
    received_header,
    with_keyword,
)

NOW = 1_795_600_000.0


def received(
    helo: str = "client.example",
    ip: str = "192.0.2.1",
    rdns: str = "client.example",
    tls: str = "TLS1.3 TLS_AES_256_GCM_SHA384",
    recipient: Address | None = None,
) -> bytes:
    return received_header(
        helo=helo,
        ip=ip,
        rdns=rdns,
        hostname="mx.host.example",
        protocol="ESMTPS",
        trace="PT-7Q2M-K4XD",
        instant=NOW,
        tls=tls,
        recipient=recipient,
    )


def test_received_tells_who_how_and_when() -> None:
    assert received(recipient=Address("alice", "postern.test")).decode() == (
        "Received: from client.example (client.example [192.0.2.1])\r\n"
        "\tby mx.host.example (Postern)\r\n"
        "\twith ESMTPS (TLS1.3 cipher TLS_AES_256_GCM_SHA384) id PT-7Q2M-K4XD\r\n"
        "\tfor <alice@postern.test>; Wed, 25 Nov 2026 09:46:40 +0000\r\n"
    )


def test_without_tls_rdns_and_recipient_nothing_is_made_up() -> None:
    line = received(rdns="", tls="", ip="2001:db8::1").decode()
    assert "(unknown [IPv6:2001:db8::1])" in line
    assert "TLS" not in line
    assert " for " not in line


def test_a_local_client_has_no_address() -> None:
    assert b"(local)" in received(ip="", rdns="")


@pytest.mark.parametrize(
    "helo",
    [
        "x\r\nBcc: y",
        "x) by evil.example (",
        "x\ty",
        "x; Sat, 1 Jan 2000",
        "\x1b[2J",
        "ü\u2028",
        "",
        "y" * 5000,
    ],
)
def test_a_helo_cannot_break_out_of_its_place(helo: str) -> None:
    line = received(helo=helo)
    assert line.count(b"\r\n") == line.count(b"\n") == line.count(b"\r\n\t") + 1
    assert line.count(b";") == 1
    assert line.count(b"(") == 3
    assert max(map(len, line.split(b"\r\n"))) < 998
    parsed = message_from_bytes(line + b"\r\n")
    assert parsed.keys() == ["Received"]
    assert not parsed.defects


def test_lines_stay_short_where_words_allow_it() -> None:
    for line in received(helo="a" * 60, rdns="b" * 60).split(b"\r\n"):
        assert len(line) < 78


def test_dates_are_those_of_rfc_5322() -> None:
    for instant in (0.0, 951_782_400.0, NOW, NOW + 0.999, 4e9):
        assert parsedate_to_datetime(header_date(instant)).timestamp() == int(instant)


@pytest.mark.parametrize(
    ("extended", "tls", "authenticated", "smtputf8", "word"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, True, False, False, "ESMTPS"),
        (True, False, True, False, "ESMTPA"),
        (True, True, True, False, "ESMTPSA"),
        (False, True, False, False, "ESMTPS"),
        (True, True, True, True, "UTF8SMTPSA"),
    ],
)
def test_with_words_are_those_of_rfc_3848(
    *, extended: bool, tls: bool, authenticated: bool, smtputf8: bool, word: str
) -> None:
    assert (
        with_keyword(extended=extended, tls=tls, authenticated=authenticated, smtputf8=smtputf8)
        == word
    )
