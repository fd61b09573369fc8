"""spamd, a real one: its score, hung and killed."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.peers.scanners import SPAM_WORD, ScannerPeer, spamd
from tests.policy.scanners.asking import body, specimen

from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Caught, Clean, Score, Untold
from postern.policy.scanners.spamd import Spamd, answer_of


@pytest.fixture(scope="module")
def peer() -> Iterator[ScannerPeer]:
    with spamd() as running:
        yield running


def place_of(peer: ScannerPeer) -> Place:
    return Place("", "127.0.0.1", peer.port)


@pytest.mark.peers("spamd")
async def test_score_and_tests_that_hit_are_told(peer: ScannerPeer) -> None:
    scanner = Spamd(place_of(peer), None)
    assert await scanner.ping() is None
    assert isinstance(await scanner.scan(specimen()), Clean)
    caught = await scanner.scan(body(SPAM_WORD))
    assert isinstance(caught, Caught)
    assert caught.score == Score(7.5, 5.0, ("LAB_SPAM",))
    assert isinstance(await Spamd(place_of(peer), 8.0).scan(body(SPAM_WORD)), Clean)


@pytest.mark.peers("spamd")
async def test_killed_in_the_middle_is_an_error_and_never_clean() -> None:
    with spamd() as running:
        scanner = Spamd(place_of(running), None)
        running.hang()
        asking = asyncio.ensure_future(scanner.scan(specimen()))
        await asyncio.sleep(0.05)  # it has connected, and waits; killed sooner it fails the same
        running.kill()
        with pytest.raises((OSError, EOFError)):
            await asking
        with pytest.raises(ConnectionRefusedError):
            await scanner.scan(specimen())


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.2 / 5.0\r\n\r\nA,B", Clean),
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 6.2 / 5.0\r\n\r\n", Caught),
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1.2.3 / 5.0\r\n\r\n", Untold),
        (b"SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\n\r\n", Untold),
        (b"SPAMD/1.0 74 EX_IOERR\r\n\r\n", Untold),
        (b"220 mx.test ESMTP", Untold),
    ],
)
def test_answers(said: bytes, kind: type) -> None:
    assert isinstance(answer_of(said, None), kind)
