import hashlib
import random
import tracemalloc
from base64 import b64encode

import pytest
from tests.mail.dkim.stand import hashed

from postern.mail.dkim.body import BodyForm, BodyHash, BodyHasher
from postern.mail.dkim.canonical import Canon

SIMPLE, RELAXED = BodyForm(Canon.SIMPLE), BodyForm(Canon.RELAXED)


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


@pytest.mark.parametrize(
    ("body", "simple", "relaxed"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5
        (b"", b"\r\n", b""),  # RFC 6376 §3.4.3, §3.4.4
        (b"\r\n\r\n", b"\r\n", b""),
        (b" \t\r\n", b" \t\r\n", b""),
        (b"\r\n \r\n", b"\r\n \r\n", b""),
        (b" ", b" \r\n", b""),
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a\r\n", b"a\r\n", b"a\r\n"),
        (b"a \t", b"a \t\r\n", b"a\r\n"),
        (b"a\r\n\r\n \t\r\n", b"a\r\n\r\n \t\r\n", b"a\r\n"),
        (b"a\r\n\r\nb\r\n \r\n", b"a\r\n\r\nb\r\n \r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),  # a CR alone ends no line
        (b"a \r", b"a \r\r\n", b"a \r\r\n"),
        (b"a\n\n", b"a\n\n\r\n", b"a\n\n\r\n"),
        (b"a\r\n\n\r\n\r\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
        (b"a\r\r\n\r\n", b"a\r\r\n", b"a\r\r\n"),
        (b"\r\r\n\r\n", b"\r\r\n", b"\r\r\n"),
        (b"\n\r\n\r\n", b"\n\r\n", b"\n\r\n"),
        (b"a\r\n\r\r\n", b"a\r\n\r\r\n", b"a\r\n\r\r\n"),
        (b"a \r\n\tb\t\t c", b"a \r\n\tb\t\t c\r\n", b"a\r\n b c\r\n"),
        (b"\x0ba\x0c \r\n", b"\x0ba\x0c \r\n", b"\x0ba\x0c\r\n"),
    ],
)
def test_canonical_bodies_whole_and_in_pieces(body: bytes, simple: bytes, relaxed: bytes) -> None:
    for step in (0, 1, 2, 3, 5):
        hashes = hashed(body, {SIMPLE, RELAXED}, step)
        assert hashes.of(SIMPLE) == BodyHash(sha256(simple), len(simple)), step
        assert hashes.of(RELAXED) == BodyHash(sha256(relaxed), len(relaxed)), step


def test_the_hashes_of_nothing_are_those_of_the_standard() -> None:
    hashes = hashed(b"", {SIMPLE, RELAXED})
    assert b64encode(hashes.of(SIMPLE).digest or b"") == (
        b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
    )
    assert b64encode(hashes.of(RELAXED).digest or b"") == (
        b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    )


def test_a_limit_takes_the_first_octets_of_the_canonical_body() -> None:
    body, relaxed = b"a  b \r\n\r\nc\r\n\r\n", b"a b\r\n\r\nc\r\n"
    forms = {BodyForm(Canon.RELAXED, limit) for limit in range(12)}
    for step in (0, 1, 2, 3):
        hashes = hashed(body, forms, step)
        for limit in range(12):
            fits = limit <= len(relaxed)
            wanted = BodyHash(sha256(relaxed[:limit]) if fits else None, len(relaxed))
            assert hashes.of(BodyForm(Canon.RELAXED, limit)) == wanted


def test_a_limit_of_nothing_fits_an_empty_body() -> None:
    form = BodyForm(Canon.RELAXED, 0)
    assert hashed(b"", {form}).of(form) == BodyHash(sha256(b""), 0)
    assert hashed(b"x", {form}).of(form) == BodyHash(sha256(b""), 3)


def test_a_form_that_was_not_asked_for_is_not_there() -> None:
    with pytest.raises(KeyError):
        hashed(b"", {SIMPLE}).of(RELAXED)


def test_many_empty_lines_count_when_something_follows() -> None:
    body = b"\r\n" * 20_001 + b"x"
    assert hashed(body, {RELAXED}, 777).of(RELAXED).digest == sha256(body + b"\r\n")


def test_random_bodies_in_random_pieces_hash_as_if_whole() -> None:
    chance = random.Random(6376)
    alphabet = [b"\r\n", b"\r\n", b" ", b"\t", b"\r", b"\n", b"a", b"b  c"]
    forms = {SIMPLE, RELAXED, BodyForm(Canon.SIMPLE, 9), BodyForm(Canon.RELAXED, 9)}
    for _ in range(500):
        body = b"".join(chance.choices(alphabet, k=chance.randrange(40)))
        whole = hashed(body, forms)
        hasher, rest = BodyHasher(forms), body
        while rest:
            cut = chance.randrange(6)
            hasher.feed(rest[:cut])
            rest = rest[cut:]
        pieces = hasher.finish()
        assert [pieces.of(form) for form in forms] == [whole.of(form) for form in forms]


def test_memory_does_not_grow_with_the_body() -> None:
    lines = b"a  line\r\n" * 4000 + b"\r\n" * 4000
    hasher = BodyHasher([SIMPLE, RELAXED, *(BodyForm(Canon.RELAXED, n) for n in range(100))])
    tracemalloc.start()
    try:
        for _ in range(100):
            hasher.feed(lines)
        hasher.finish()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * len(lines)
