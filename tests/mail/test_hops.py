"""Marks of relays: only our own hold."""

from postern.mail.hops import MAX_MARKS, has_passed, hop_field, relays_of

KEY, OTHER = b"k" * 32, b"o" * 32


def value(field: bytes) -> bytes:
    """The field's body as a header gives it back."""
    return field.partition(b":")[2].removesuffix(b"\r\n")


def test_our_own_mark_names_the_relay() -> None:
    field = hop_field(KEY, "us1", "PT-7Q2M-K4XD")
    assert field.startswith(b"X-Postern-Hop: us1; PT-7Q2M-K4XD; ")
    assert field.endswith(b"\r\n")
    assert relays_of([value(field)], KEY) == ("us1",)
    assert has_passed("us1", ("us1",))
    assert not has_passed("de1", ("us1",))


def test_anothers_mark_and_a_forged_one_say_nothing() -> None:
    field = hop_field(OTHER, "us1", "PT-7Q2M-K4XD")
    assert relays_of([value(field)], KEY) == ()
    ours = value(hop_field(KEY, "us1", "PT-7Q2M-K4XD"))
    assert relays_of([ours.replace(b"us1", b"de1")], KEY) == ()
    assert relays_of([ours.replace(b"K4XD", b"K4XE")], KEY) == ()
    assert relays_of([b"", b";;", b"us1", b"\xff; \xff; \xff", ours[:-1]], KEY) == ()


def test_a_name_with_blanks_or_line_ends_stays_one_line() -> None:
    field = hop_field(KEY, "us 1\r\nBcc: x; y", "PT-7Q2M-K4XD")
    assert field.count(b"\r\n") == 1
    (name,) = relays_of([value(field)], KEY)
    assert has_passed("us 1\r\nBcc: x; y", (name,))


def test_marks_beyond_the_bound_are_not_looked_at() -> None:
    marks = [b"x"] * MAX_MARKS + [value(hop_field(KEY, "us1", "PT-7Q2M-K4XD"))]
    assert relays_of(marks, KEY) == ()
