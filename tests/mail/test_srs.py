"""Return addresses of forwarded mail: made here, read here, and nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postern.mail.address import MAX_LOCAL_BYTES, Address
from postern.mail.srs import MAX_AGE_DAYS, Srs, SrsFlaw, is_srs

SRS = Srs(b"k" * 32)
H = "harbour.example"
DAY = 20_000
LOCALS = st.text("abcXYZ019.+=-_!#", min_size=1, max_size=40)
DOMAINS = st.sampled_from(["tea.example", "xn--r8jz45g.example", "a.b.c.d.e.example"])


@given(local=LOCALS, domain=DOMAINS, age=st.integers(0, MAX_AGE_DAYS), day=st.integers(0, 99_999))
def test_bounce_finds_its_way_back_to_the_sender_for_weeks(
    local: str, domain: str, age: int, day: int
) -> None:
    sender = Address(f"x{local}", domain)
    made = SRS.rewrite(sender, H, day)
    assert is_srs(made.local)
    assert made.domain == H
    assert SRS.read(made.local, day + age) == sender


def test_rewritten_address_reads_as_it_is_written_everywhere() -> None:
    made = SRS.rewrite(Address("li", "tea.example"), H, DAY)
    assert made.local.startswith("SRS0=")
    assert made.local.endswith("=tea.example=li")
    # Some servers fold the case of local parts.
    assert SRS.read(made.local.lower(), DAY) == Address("li", "tea.example")
    assert SRS.read(made.local.upper(), DAY) == Address("LI", "tea.example")


@pytest.mark.parametrize(
    "change",
    [
        lambda local: local.replace("=li", "=eve"),
        lambda local: local.replace("tea.example", "victim.example"),
        lambda local: local[:5] + "AAAAAAAA" + local[13:],
        lambda local: local[:14] + "AA" + local[16:],
        lambda local: local[:5],
        lambda local: "SRS1" + local[4:],
    ],
    ids=["whom", "where", "hash", "day", "cut", "kind"],
)
def test_what_was_not_made_here_leads_nowhere(change: object) -> None:
    assert callable(change)
    made = SRS.rewrite(Address("li", "tea.example"), H, DAY)
    assert isinstance(SRS.read(change(made.local), DAY), SrsFlaw)
    assert isinstance(Srs(b"other").read(made.local, DAY), SrsFlaw)


def test_an_old_address_is_of_no_use_and_says_so() -> None:
    made = SRS.rewrite(Address("li", "tea.example"), H, DAY)
    flaw = SRS.read(made.local, DAY + MAX_AGE_DAYS + 1)
    assert flaw == SrsFlaw(f"it is older than {MAX_AGE_DAYS} days")


def test_what_another_forwarder_rewrote_goes_straight_back_to_him() -> None:
    first = Srs(b"first").rewrite(Address("li", "tea.example"), "one.example", DAY)
    second = SRS.rewrite(first, H, DAY)
    assert second.local.startswith("SRS1=")
    assert SRS.read(second.local, DAY + 999) == first
    third = Srs(b"third").rewrite(second, "three.example", DAY)
    assert len(third.local) == len(second.local)  # it does not grow with each hop
    assert Srs(b"third").read(third.local, DAY) == first
    changed = second.local.replace("one.example", "victim.example")
    assert isinstance(SRS.read(changed, DAY), SrsFlaw)


def test_an_address_that_would_become_too_long_stays_as_it_is() -> None:
    long = Address("v" * (MAX_LOCAL_BYTES - 10), "tea.example")
    assert SRS.rewrite(long, H, DAY) == long
    # Nor may it be too long as a whole, with its domain and quotes (RFC 5321 §4.5.3.1.3).
    forwarder = ".".join(["f" * 60] * 3 + ["example"])
    for size in range(1, 60):
        for local in ("v" * size, f"{'v' * size} v"):
            made = SRS.rewrite(Address(local, "tea.example"), forwarder, DAY)
            assert len(str(made)) <= 254
    assert SRS.rewrite(Address("v", "tea.example"), forwarder, DAY).domain == forwarder
    literal = Address("li", "[192.0.2.1]")
    assert SRS.rewrite(literal, H, DAY) == literal


@given(local=st.text(max_size=80))
def test_no_local_part_is_an_error(local: str) -> None:
    assert isinstance(SRS.read("SRS0=" + local, DAY), SrsFlaw)
    assert isinstance(SRS.read("SRS1=" + local, DAY), SrsFlaw)
