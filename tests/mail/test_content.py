"""Content with fields of ours in front."""

from collections.abc import AsyncIterator

import pytest

from postern.mail.content import BytesContent, PrefixedContent, pour


class InPieces:
    """Content that is not in memory, and notes whether it was closed."""

    size_bytes = 4
    in_memory = None

    def __init__(self) -> None:
        self.is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            yield b"ab"
            yield b"cd"
        finally:
            self.is_closed = True


async def test_what_is_in_memory_stays_there() -> None:
    content = PrefixedContent(b"X: y\r\n", BytesContent(b"abcd"))
    assert content.in_memory == b"X: y\r\nabcd"
    assert content.size_bytes == 10
    assert [piece async for piece in content.chunks()] == [b"X: y\r\n", b"abcd"]


async def test_what_is_elsewhere_comes_in_pieces_behind_the_prefix() -> None:
    content = PrefixedContent(b"X: y\r\n", InPieces())
    assert content.in_memory is None
    assert content.size_bytes == 10
    assert b"".join([piece async for piece in content.chunks()]) == b"X: y\r\nabcd"


@pytest.mark.parametrize("wanted", [1, 2, 9])
async def test_whoever_stops_reading_closes_what_is_behind(wanted: int) -> None:
    rest = InPieces()
    taken: list[bytes] = []

    async def take(piece: bytes) -> bool:
        taken.append(piece)
        return len(taken) < wanted

    await pour(PrefixedContent(b"X: y\r\n", rest), take)
    assert len(taken) == min(wanted, 3)
    assert rest.is_closed == (wanted > 1)
