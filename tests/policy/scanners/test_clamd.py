"""clamd, a real one: found, clean, too large, hung, killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.peers.scanners import EICAR, SIGNATURE, ScannerPeer, clamd
from tests.policy.scanners.asking import PLAIN, LongContent, body, enveloped, specimen

from postern.mail.content import BytesContent
from postern.policy.scanners.clamd import Clamd, answer_of, calls_a_part_clean
from postern.policy.scanners.gate import Gate
from postern.policy.scanners.place import Place
from postern.policy.scanners.scan import Caught, Clean, Untold
from postern.policy.scanners.settings import Kind, ScannerSettings
from postern.runtime.clock import SystemClock

MIB = 1024 * 1024


def place_of(peer: ScannerPeer) -> Place:
    return Place(str(peer.path)) if peer.path else Place("", "127.0.0.1", peer.port)


@pytest.fixture(scope="module", params=["unix", "tcp"])
def peer(request: pytest.FixtureRequest) -> Iterator[ScannerPeer]:
    with clamd(tcp=request.param == "tcp", stream_max="20M") as running:
        yield running


@pytest.mark.peers("clamd")
async def test_virus_is_found_by_its_name_and_plain_mail_is_clean(peer: ScannerPeer) -> None:
    scanner = Clamd(place_of(peer))
    assert await scanner.ping() is None
    assert isinstance(await scanner.scan(specimen()), Clean)
    found = await scanner.scan(body(EICAR))
    assert isinstance(found, Caught)
    assert SIGNATURE in found.text


@pytest.mark.peers("clamd")
async def test_virus_at_the_end_of_a_long_message_is_found(peer: ScannerPeer) -> None:
    class Infected(LongContent):
        async def chunks(self) -> AsyncIterator[bytes]:
            async for piece in LongContent.chunks(self):
                yield piece
            yield EICAR

        @property
        def size_bytes(self) -> int:
            return super().size_bytes + len(EICAR)

    long = Infected(PLAIN, 15 * MIB)
    assert isinstance(await Clamd(place_of(peer)).scan(enveloped(long)), Caught)


@pytest.mark.peers("clamd")
async def test_message_larger_than_it_takes_is_not_called_clean(peer: ScannerPeer) -> None:
    for _ in range(5):  # it hangs up while we still send: which comes first is anybody's guess
        answer = await Clamd(place_of(peer)).scan(enveloped(LongContent(PLAIN, 40 * MIB)))
        assert isinstance(answer, Untold)
        assert answer.cause == "the message is larger than it takes"
        assert "StreamMaxLength" in answer.detail
        assert not answer.is_ailing


@pytest.mark.peers("clamd")
async def test_what_it_would_call_clean_unseen_is_not_given_to_it() -> None:
    """clamd as Debian installs it: there the first answer is why there is a ``max_bytes``."""
    large = enveloped(LongContent(PLAIN + EICAR, 26 * MIB))
    with clamd(tells_excess=False, more="MaxFileSize 25M") as running:
        place = place_of(running)
        assert isinstance(await Clamd(place).scan(large), Clean)
        assert await calls_a_part_clean(place)
        settings = ScannerSettings("clamd", Kind.CLAMD, place, max_bytes=25 * MIB)
        answer = await Gate(settings, Clamd(place), SystemClock()).ask(large, 30)
        assert isinstance(answer, Untold)


@pytest.mark.peers("clamd")
async def test_killed_in_the_middle_is_an_error_and_never_clean() -> None:
    with clamd() as running:
        scanner = Clamd(place_of(running))
        running.hang()
        asking = asyncio.ensure_future(scanner.scan(enveloped(LongContent(PLAIN, 4 * MIB))))
        await asyncio.sleep(0.05)  # it has connected, and waits; killed sooner it fails the same
        running.kill()
        with pytest.raises((OSError, EOFError)):
            await asking
        with pytest.raises(OSError):  # noqa: PT011 - which, depends on the socket
            await scanner.scan(specimen())
        running.start()
        assert isinstance(await scanner.scan(specimen()), Clean)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"stream: OK", Clean),
        (b"stream: Win.Test.EICAR_HDB-1 FOUND", Caught),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND", Untold),
        (b"INSTREAM size limit exceeded. ERROR", Untold),
        (b"stream: Can't allocate memory ERROR", Untold),
        (b"stream: OK, or so", Untold),
        (b"", Untold),
        (b"UNKNOWN COMMAND", Untold),
    ],
)
def test_only_a_plain_ok_is_clean(said: bytes, kind: type) -> None:
    assert isinstance(answer_of(said), kind)


def test_signature_cannot_break_a_line() -> None:
    answer = answer_of(b"stream: Evil\r\nX-Forged: 1 FOUND")
    assert "\r" not in answer.text
    assert "\n" not in answer.text


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await Clamd(Place("/nowhere/clamd.ctl")).scan(enveloped(BytesContent(b"x")))
