"""rspamd, a real one: its score, the envelope it is told, hung and killed."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.peers.scanners import SPAM_WORD, WORST_WORD, ScannerPeer, rspamd
from tests.policy.scanners.asking import PLAIN, LongContent, body, enveloped, specimen

from postern.policy.scanners.http import Response
from postern.policy.scanners.place import Place
from postern.policy.scanners.rspamd import Rspamd, answer_of, fields_of
from postern.policy.scanners.scan import Caught, Clean, Specimen, Untold

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def peer() -> Iterator[ScannerPeer]:
    with rspamd() as running:
        yield running


def place_of(peer: ScannerPeer) -> Place:
    return Place("", "127.0.0.1", peer.port)


@pytest.mark.peers("rspamd")
async def test_score_and_symbols_are_told_and_its_own_actions_decide(peer: ScannerPeer) -> None:
    scanner = Rspamd(place_of(peer), None)
    assert await scanner.ping() is None
    clean = await scanner.scan(specimen())
    assert isinstance(clean, Clean)
    assert clean.score is not None
    # Its rule has seen address, sender, recipient, HELO and queue id.
    assert clean.score.symbols == ("LAB_ENVELOPE",)
    assert clean.score.required == 15
    for word, action in ((SPAM_WORD, "add header"), (WORST_WORD, "reject")):
        caught = await scanner.scan(body(word))
        assert isinstance(caught, Caught)
        assert action in caught.text


@pytest.mark.peers("rspamd")
async def test_score_of_ours_decides_where_one_is_set(peer: ScannerPeer) -> None:
    for threshold, kind in ((7.0, Caught), (8.0, Clean)):
        answer = await Rspamd(place_of(peer), threshold).scan(body(SPAM_WORD))
        assert isinstance(answer, kind)
        assert answer.score is not None
        assert answer.score.required == threshold


@pytest.mark.peers("rspamd")
async def test_long_message_streams(peer: ScannerPeer) -> None:
    long = LongContent(PLAIN + SPAM_WORD + b"\r\n", 30 * MIB)
    assert isinstance(await Rspamd(place_of(peer), None).scan(enveloped(long)), Caught)


@pytest.mark.peers("rspamd")
async def test_killed_in_the_middle_is_an_error_and_never_clean() -> None:
    with rspamd() as running:
        scanner = Rspamd(place_of(running), None)
        running.hang()
        asking = asyncio.ensure_future(scanner.scan(specimen()))
        await asyncio.sleep(0.05)  # it has connected, and waits; killed sooner it fails the same
        running.kill()
        with pytest.raises((OSError, EOFError)):
            await asking
        with pytest.raises(ConnectionRefusedError):
            await scanner.scan(specimen())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"score":1.0,"required_score":15.0,"action":"no action"}', Clean),
        (200, b'{"score":4.5,"required_score":15.0,"action":"greylist"}', Clean),
        (200, b'{"score":4.5,"required_score":15.0,"action":"soft reject"}', Clean),
        (200, b'{"score":7.5,"required_score":15.0,"action":"add header"}', Caught),
        (200, b'{"score":20,"required_score":15.0,"action":"reject"}', Caught),
        (200, b'{"is_skipped":true}', Clean),
        (200, b'{"error":"no such worker"}', Untold),
        (200, b'{"score":"many"}', Untold),
        (200, b"[" * 100_000, Untold),
        (200, b"", Untold),
        (403, b"denied", Untold),
        (500, b"", Untold),
    ],
)
def test_answers(status: int, body: bytes, kind: type) -> None:
    assert isinstance(answer_of(Response(status, body), None), kind)


def test_symbols_of_a_stranger_are_bounded() -> None:
    symbols = ",".join(f'"S{n}":{{"score":{n}}}' for n in range(1, 500))
    said = (
        f'{{"score":7,"action":"reject","symbols":{{"bad\\r\\nname":{{"score":9999}},{symbols}}}}}'
    )
    answer = answer_of(Response(200, said.encode()), None)
    assert "S499" in answer.text
    assert len(answer.text) < 300
    assert answer.text.isprintable()


def test_envelope_is_told_and_recipients_are_bounded() -> None:
    many = Specimen(specimen().content, recipients=tuple(f"r{n}@here.test" for n in range(500)))
    fields = list(fields_of(many))
    assert ("From", "") in fields
    assert len(fields) == 101
