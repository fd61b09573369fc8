"""Passwords are prepared the same way when set and when used, and hashed as OWASP asks."""

import pytest

from postern.directory.passwords import (
    DUMMY_HASH,
    MAX_PASSWORD_BYTES,
    hash_password,
    prepare,
    verify,
)


def test_hash_verifies_its_own_password_only() -> None:
    hashed = hash_password("correct horse")
    assert hashed is not None
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify(hashed, "correct horse")
    assert not verify(hashed, "correct  horse")


def test_damaged_hash_verifies_nothing() -> None:
    assert not verify("", "x")
    assert not verify("$argon2id$v=19$m=19456,t=2,p=1$", "x")
    assert not verify(DUMMY_HASH[:-4], "nobody has this password")


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("plain", "plain"),
        ("u\u0308", "\u00fc"),
        ("a\u00a0b\u3000c", "a b c"),
        ("\u2460", "\u2460"),
        (" spaces stay ", " spaces stay "),
        ("", None),
        ("a\nb", None),
        ("a\0b", None),
        ("\ud800", None),
        ("x" * MAX_PASSWORD_BYTES, "x" * MAX_PASSWORD_BYTES),
        ("x" * (MAX_PASSWORD_BYTES + 1), None),
        ("\u00fc" * (MAX_PASSWORD_BYTES // 2 + 1), None),
    ],
)
def test_passwords_have_one_spelling(typed: str, prepared: str | None) -> None:
    assert prepare(typed) == prepared
