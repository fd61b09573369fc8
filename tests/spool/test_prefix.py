"""Fields that are known only once the body has come: kept beside a body that is in a file."""

from pathlib import Path

from tests.spool.mail import message, spool_of

from postern.mail.content import Content, PrefixedContent
from postern.spool.spool import Spool

FIELD = b"Authentication-Results: mx.here.test; spf=pass\r\n"
BODY = b"Subject: tea\r\n\r\n" + b"Green tea.\r\n" * 1000


async def large(spool: Spool, number: int) -> Content:
    writer = spool.body(number)
    writer.write(BODY)
    content = await writer.finish()
    assert content.in_memory is None
    return content


async def whole(content: Content) -> bytes:
    return b"".join([piece async for piece in content.chunks()])


async def test_a_field_in_front_of_a_file_is_there_after_a_restart(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, inline_bytes=100)
    await spool.open()
    content = PrefixedContent(FIELD, await large(spool, 1))
    await spool.accept_wait(message(1, body=content))
    await spool.close()
    spool = spool_of(tmp_path, inline_bytes=100)
    await spool.open()
    found = await spool.load(1)
    assert found is not None
    assert await whole(found.content) == FIELD + BODY
    assert found.content.size_bytes == len(FIELD + BODY)
    await spool.close()


async def test_a_file_that_was_cut_short_is_found_out_behind_its_prefix(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, inline_bytes=100)
    await spool.open()
    await spool.accept_wait(message(1, body=PrefixedContent(FIELD, await large(spool, 1))))
    (path,) = (tmp_path / "spool").rglob("0000000001")
    path.write_bytes(BODY[:-5])
    assert await spool.load(1) is None
    assert list((tmp_path / "corrupt").iterdir())
    await spool.close()
