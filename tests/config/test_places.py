from pathlib import Path

import pytest

from postern.config.places import Bind, parse_bind, parse_host_port


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("0.0.0.0:25", Bind("0.0.0.0", 25)),
        ("[::]:25", Bind("::", 25)),
        ("[2001:db8::1]:0", Bind("2001:db8::1", 0)),
        ("localhost:8025", Bind("127.0.0.1", 8025)),
        ("*:587", Bind("0.0.0.0", 587)),
        ("unix:run/submit.sock", Bind(path=Path("run/submit.sock"))),
    ],
)
def test_place_is_read(text: str, bind: Bind) -> None:
    assert parse_bind(text) == bind


@pytest.mark.parametrize(
    "text",
    ["", ":25", "25", "0.0.0.0", "0.0.0.0:", "0.0.0.0:x", "0.0.0.0:65536", "0.0.0.0:-1", "::1:25",
     "[127.0.0.1]:25", "mx.example:25", "unix:", "0.0.0.0:٢٥", "[::1:25"],
)  # fmt: skip
def test_what_is_no_place_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_bind(text)


def test_place_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:25", "[::1]:25", "unix:/run/s"):
        assert str(parse_bind(text)) == text


@pytest.mark.parametrize("text", ["relay", "relay:", ":25", "relay:0", "relay:99999", "relay:x"])
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_host_port(text)


def test_host_and_port_are_read() -> None:
    assert parse_host_port("us1.host.example:587") == ("us1.host.example", 587)
    assert parse_host_port("[::1]:24") == ("::1", 24)
