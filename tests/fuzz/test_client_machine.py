"""Invariant: whatever a peer sends, whole or byte by byte, the client machine ends with one
outcome per recipient or asks for more, raises nothing, holds bounded memory, never sends a bare CR
or LF, and never claims Delivered without a 2xx after the end of data."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.client_machine import Watched, run

from postern.mail.outcome import Delivered

pytestmark = pytest.mark.fuzz

CODES = st.sampled_from(
    ["220", "250", "251", "354", "334", "235", "421", "450", "452", "451", "500", "502", "503",
     "530", "535", "550", "552", "554", "150", "999", "25"]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["", " ok", "-more", " 2.0.0 ok", " 5.1.1 no", "-5.1.1 no", "-PIPELINING", "-CHUNKING",
     "-SMTPUTF8", "-8BITMIME", "-STARTTLS", " STARTTLS", "-SIZE 10", "-SIZE", " AUTH PLAIN LOGIN",
     "-AUTH=LOGIN", "-DSN", " try in 5 minutes", " " + "x" * 2100, "\t", " \x00\x1b"]
)  # fmt: skip
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", ""])
LINES = st.tuples(CODES, TEXTS, ENDS).map(lambda parts: "".join(parts).encode())
OPENINGS = st.sampled_from(
    [b"", b"220 hi\r\n", b"220 hi\r\n250 x\r\n", b"220 hi\r\n250-x\r\n250 PIPELINING\r\n",
     b"220 hi\r\n250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
     b"220 hi\r\n250-x\r\n250-PIPELINING\r\n250-DSN\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n"]
)  # fmt: skip
GOOD = st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"250-a\r\n250 b\r\n"])
SMOOTH = st.tuples(
    st.just(b"250 ok\r\n"), GOOD, GOOD, GOOD, st.just(b"354 go\r\n"), GOOD, GOOD
).map(b"".join)
TALK = st.lists(st.one_of(SMOOTH, SMOOTH, GOOD, LINES, st.binary(max_size=6)), max_size=20).map(
    b"".join
)
CHOICES = st.integers(0, 2047)


BATCH = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def hold(choice: int, opening: bytes, talk: bytes) -> None:
    """The invariant: checked by ``Watched`` at every step."""
    for step in (0, 1, 5, 64):
        run(choice, opening, talk, step)
        run(choice, b"", opening + talk, step)
    # Reply by reply, as a peer that waits its turn would.
    run(choice, opening + talk, b"", 0)


def test_invariant_holds_for_any_peer(fuzz_seconds: float) -> None:
    @BATCH
    @given(CHOICES, OPENINGS, TALK)
    def explore(choice: int, opening: bytes, talk: bytes) -> None:
        hold(choice, opening, talk)

    until = time.monotonic() + fuzz_seconds
    while time.monotonic() < until:
        explore()


def test_invariant_can_see_a_delivery() -> None:
    watched = Watched(0)
    for octets in (
        b"220 hi\r\n", b"250-x\r\n250 PIPELINING\r\n",
        b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", b"250 done\r\n",
    ):  # fmt: skip
        watched.feed(octets)
    assert watched.finished == 1
    assert watched.sent.endswith(b"DATA\r\n")  # the next message has begun
    deliveries = [o for o in watched.machine.outcomes if isinstance(o, Delivered)]
    assert deliveries == []


def test_long_lines_and_long_replies_stay_bounded() -> None:
    for talk in (b"x" * 300_000, (b"250-" + b"y" * 2040 + b"\r\n") * 300, b"250-z\r\n" * 10_000):
        for step in (0, 1000):
            run(0, b"220 hi\r\n", talk * 3, step)
