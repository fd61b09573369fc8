"""What leaves has CR LF and nothing else for line ends, however content was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.smtp.client_body import DotStuffer, chunk_of, data_of, whole_lines

CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"\r\n.", b"\0"])).map(
    b"".join
)


@pytest.mark.parametrize(("content", "wire"), [
    (b"", b".\r\n"),
    (b"a\r\n", b"a\r\n.\r\n"),
    (b"a", b"a\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"),
    (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
    (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
    (b"a\r.\rMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
    (b"a\r\n.\n", b"a\r\n..\r\n.\r\n"),
    (b"a\r", b"a\r\n.\r\n"),
    (b"a\r\r\n", b"a\r\n\r\n.\r\n"),
])  # fmt: skip
def test_content_is_stuffed_and_ended(content: bytes, wire: bytes) -> None:
    assert data_of(content) == wire


@given(CONTENT, st.integers(1, 4))
def test_pieces_give_the_same_octets_as_the_whole(content: bytes, step: int) -> None:
    stuffer = DotStuffer()
    pieces = [stuffer.feed(content[at : at + step]) for at in range(0, len(content), step)]
    assert b"".join(pieces) + stuffer.finish() == data_of(content)


@given(CONTENT)
def test_receiver_reads_back_one_message_whatever_it_takes_for_a_line_end(content: bytes) -> None:
    wire = data_of(content)
    rest = wire.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    lines = wire.split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2
    plain = b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])
    assert plain == chunk_of(content)


def test_clean_content_is_not_copied() -> None:
    content = b"a\r\nb\r\n"
    assert whole_lines(content) is content
