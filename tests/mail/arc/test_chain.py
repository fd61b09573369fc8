import pytest
from tests.mail.arc.stand import PAYLOAD, chain_of
from tests.mail.dkim.stand import MESSAGE, ed25519_key

from postern.mail.arc.chain import MAX_SETS, Chain, ChainFlaw, read_chain
from postern.mail.arc.seal import arc_signer
from postern.mail.dkim.fields import HeaderFields

SIGNER = arc_signer("tea.example", "jan", ed25519_key())
ONE = chain_of(MESSAGE, SIGNER).removesuffix(MESSAGE)
TWO = chain_of(MESSAGE, SIGNER, SIGNER).removesuffix(MESSAGE)
SEAL, SIGNATURE, RESULTS = ONE.replace(b"\r\nARC-", b"\r\n\0ARC-").split(b"\0")


def read(header: bytes) -> Chain | ChainFlaw | None:
    return read_chain(HeaderFields(header + MESSAGE))


def flaw(header: bytes) -> ChainFlaw:
    found = read(header)
    assert isinstance(found, ChainFlaw)
    return found


def test_a_message_without_arc_fields_has_no_chain() -> None:
    assert read(b"") is None


def test_a_chain_has_its_sets_in_order_wherever_the_fields_stand() -> None:
    for header in (TWO, TWO.replace(b"ARC-Seal: i=2", b"X: y\r\nArc-SEAL : i = 02 ")):
        chain = read(header)
        assert isinstance(chain, Chain)
        assert [one.instance for one in chain.sets] == [1, 2]
        assert [one.seal.cv for one in chain.sets] == ["none", "pass"]
        assert [one.seal.signature.selector for one in chain.sets] == ["jan", "jan"]
        assert b"".join(chain.sets[0].payload.split()) == b"".join(PAYLOAD.split())
        assert chain.sets[0].message.flaw is None


@pytest.mark.parametrize(
    ("header", "text", "highest"),
    [
        (SEAL + SIGNATURE, "set 1 of 1 has no ARC-Authentication-Results", 1),
        (SEAL + RESULTS, "set 1 of 1 has no ARC-Message-Signature", 1),
        (SIGNATURE + RESULTS, "set 1 of 1 has no ARC-Seal", 1),
        (TWO.replace(b"i=1", b"i=3"), "set 1 of 3 has no ARC-Seal", 3),
        (ONE + SEAL, "set 1 has more than one ARC-Seal", 1),
        (ONE + RESULTS, "set 1 has more than one ARC-Authentication-Results", 1),
        (
            ONE.replace(b"Seal: i=1", b"Seal: i=0"),
            "an ARC-Seal cannot be read: its i= is not 1 to 50",
            1,
        ),
        (
            ONE.replace(b"Seal: i=1", b"Seal: i=51"),
            "an ARC-Seal cannot be read: its i= is not 1 to 50",
            1,
        ),
        (
            ONE.replace(b"Signature: i=1", b"Signature: i=1; i=1"),
            "an ARC-Message-Signature cannot be read: the signature is malformed: "
            "the tag i= stands twice",
            1,
        ),
        (
            ONE.replace(b"Signature: i=1", b"Signature: i=x"),
            "an ARC-Message-Signature cannot be read: the signature's i= is not a number",
            1,
        ),
        (
            b"ARC-Authentication-Results: mx.example; i=1\r\n",
            "an ARC-Authentication-Results cannot be read: its i= is not 1 to 50",
            0,
        ),
    ],
)
def test_fields_that_are_no_chain_say_why(header: bytes, text: str, highest: int) -> None:
    found = flaw(header)
    assert (found.text, found.highest) == (text, highest)


def test_more_than_fifty_sets_are_not_looked_at() -> None:
    found = flaw(SEAL * (MAX_SETS + 1))
    assert (found.text, found.highest) == ("there are more than 50 sets", 50)


def test_a_seal_may_not_say_what_it_covers() -> None:
    chain = read(ONE.replace(b"Seal: i=1;", b"Seal: i=1; h=from;"))
    assert isinstance(chain, Chain)
    assert chain.sets[0].seal.signature.flaw is not None
    assert "has an h=" in chain.sets[0].seal.signature.flaw.text


def test_a_message_signature_may_not_cover_seals() -> None:
    chain = read(ONE.replace(b"h=From:", b"h=ARC-Seal:From:"))
    assert isinstance(chain, Chain)
    assert chain.sets[0].message.flaw is not None
    assert chain.sets[0].message.flaw.text == "the signature covers seals, which it may not"
