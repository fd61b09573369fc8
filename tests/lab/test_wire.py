"""Streams are put together from packets in any order, sent again or not."""

import socket

import pytest
from tests.lab.wire import Flow, Wire, payload

FLOW: Flow = ("192.0.2.10", 40000, "203.0.113.11", 25)


@pytest.mark.parametrize(
    "parts",
    [
        {100: b"a se", 104: b"cret"},
        {104: b"cret", 100: b"a se"},
        {100: b"a sec", 102: b"secret"},
        {100: b"a secret", 102: b"sec"},
        {(1 << 32) - 4: b"a se", 0: b"cret"},
    ],
    ids=["in order", "swapped", "overlapping", "within", "around the end of the numbers"],
)
def test_words_are_found_across_packets(parts: dict[int, bytes]) -> None:
    with socket.socket() as unused:
        assert Wire(unused, {FLOW: parts}).streams() == {FLOW: b"a secret"}


def test_the_payload_of_a_frame_is_what_tcp_carries() -> None:
    ip = bytes.fromhex("4500002c 00000000 40060000 c000020a cb00710b".replace(" ", ""))
    tcp = bytes.fromhex("9c40 0019 00000064 00000000 5018 0000 0000 0000".replace(" ", ""))
    frame = bytes(12) + b"\x08\x00" + ip + tcp + b"EHLO" + b"padding"
    assert payload(frame) == (FLOW, 100, b"EHLO")
    assert payload(bytes(12) + b"\x08\x06" + bytes(46)) is None
