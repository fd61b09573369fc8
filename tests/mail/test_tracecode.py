import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.tracecode import ALPHABET, COUNTER_BITS, MAX_ID, TraceCodes, message_id

CODES = TraceCodes(b"a key of sixteen")


@given(st.integers(0, MAX_ID))
def test_every_number_comes_back_from_its_code(number: int) -> None:
    assert CODES.decode(CODES.encode(number)) == number


def test_no_two_counters_share_a_code() -> None:
    codes = {CODES.encode(message_id(0, counter)) for counter in range(100_000)}
    assert len(codes) == 100_000


def test_a_code_is_read_over_the_telephone() -> None:
    code = CODES.encode(message_id(3, 77))
    assert code.startswith("PT-")
    assert len(code) == 12
    assert set(code[3:].replace("-", "")) <= set(ALPHABET)
    assert CODES.decode(code.lower().replace("-", " ")) == message_id(3, 77)
    assert CODES.decode(code[3:]) == message_id(3, 77)


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    code = next(c for n in range(1000) if "0" in (c := CODES.encode(n)) and "1" in c)
    assert CODES.decode(code.replace("0", "O").replace("1", "I")) == CODES.decode(code)
    assert CODES.decode(code.replace("1", "L")) == CODES.decode(code)


@pytest.mark.parametrize("text", ["", "PT", "PT-7Q2M", "PT-7Q2M-K4X!", "PT-7Q2M-K4XDD", "Uhrwerk"])
def test_what_is_no_code_has_no_number(text: str) -> None:
    assert CODES.decode(text) is None


def test_neighbours_look_nothing_alike() -> None:
    codes = [CODES.encode(number)[3:].replace("-", "") for number in range(20_000)]
    alike = [
        sum(a == b for a, b in zip(one, two, strict=True)) for one, two in itertools.pairwise(codes)
    ]
    # Eight characters of 32: chance alone makes a quarter of a character agree.
    assert sum(alike) / len(alike) < 0.35
    for place in range(8):
        assert len({code[place] for code in codes}) == 32


def test_another_key_gives_other_codes() -> None:
    other = TraceCodes(b"another key of 16")
    same = sum(CODES.encode(n) == other.encode(n) for n in range(10_000))
    assert same <= 1


def test_nodes_never_share_a_number() -> None:
    assert message_id(1, 5) != message_id(2, 5)
    assert message_id(15, (1 << COUNTER_BITS) - 1) == MAX_ID
