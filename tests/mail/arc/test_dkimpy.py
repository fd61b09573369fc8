"""dkimpy as an oracle for chains: those it seals we validate, those we seal it validates."""

from dataclasses import replace

import dkim  # type: ignore[import-untyped]  # it has no types
import pytest
from tests.mail.arc.stand import chain_of, sealed, validated
from tests.mail.dkim.stand import MESSAGE, Zone, pem, rsa_key, zone_of

from postern.mail.arc.report import ArcResult
from postern.mail.arc.seal import arc_signer
from postern.mail.dkim.canonical import Canon
from postern.mail.dkim.sign import Signer

NOW = 1_700_000_000.0  # it reads the clock, so that this must be in its past
FIRST = arc_signer("list.example", "jan", rsa_key())
SECOND = arc_signer("tea.example", "feb", rsa_key(1024))
ZONE = zone_of(FIRST, SECOND)


def theirs_says(message: bytes, zone: Zone = ZONE) -> str:
    def lookup(name: bytes | str, timeout: float = 5) -> bytes | None:
        del timeout
        text = name.decode() if isinstance(name, bytes) else name
        found = zone.get(text.rstrip("."))
        return found[0].encode() if isinstance(found, tuple) else None

    cv, _, _ = dkim.arc_verify(message, dnsfunc=lookup)
    return "ended" if cv is None else cv.decode()


def sealed_by_theirs(message: bytes, signer: Signer, arc: str) -> bytes:
    # It takes all fields of one server together, so that each time is another server's.
    server = f"mx{message.count(b'ARC-Seal:')}.example"
    results = f"Authentication-Results: {server}; spf=pass smtp.mailfrom=a.example; arc={arc}\r\n"
    message = results.encode() + message
    made = dkim.arc_sign(
        message, signer.selector.encode(), signer.domain.encode(), pem(signer.key), server.encode(),
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
    )  # fmt: skip
    assert made
    return b"".join(made) + message


def test_it_validates_what_we_seal() -> None:
    assert theirs_says(MESSAGE) == "none"
    message = chain_of(MESSAGE, FIRST, SECOND, FIRST, now=NOW)
    assert theirs_says(message) == "pass"
    assert theirs_says(message + b"footer\r\n") == "fail"
    assert theirs_says(message.replace(b"i=1; mx", b"i=1; my")) == "fail"


@pytest.mark.parametrize("header_canon", list(Canon))
@pytest.mark.parametrize("body_canon", list(Canon))
def test_it_validates_all_our_forms(header_canon: Canon, body_canon: Canon) -> None:
    first = replace(FIRST, header_canon=header_canon, body_canon=body_canon)
    message = chain_of(MESSAGE, first, SECOND, now=NOW)
    assert theirs_says(message) == "pass"
    assert validated(message, ZONE).result is ArcResult.PASS


def test_we_validate_what_it_seals_and_what_both_seal() -> None:
    message = sealed_by_theirs(MESSAGE, FIRST, "none")
    assert validated(message, ZONE).result is ArcResult.PASS
    both = sealed(message, SECOND, "pass", now=NOW)
    assert validated(both, ZONE).result is ArcResult.PASS
    assert theirs_says(both) == "pass"
    three = sealed_by_theirs(both, FIRST, "pass")
    report = validated(three, ZONE)
    assert (report.result, report.instance, report.oldest_pass) == (ArcResult.PASS, 3, 0)
    assert theirs_says(three) == "pass"
    assert validated(three + b"footer\r\n", ZONE).result is ArcResult.FAIL


def test_a_changed_message_resealed_is_judged_alike() -> None:
    message = sealed_by_theirs(MESSAGE, FIRST, "none").replace(b"Subject:", b"Subject: [x]")
    message = sealed(message + b"footer\r\n", SECOND, "pass", now=NOW)
    assert theirs_says(message) == "pass"
    report = validated(message, ZONE)
    assert (report.result, report.oldest_pass) == (ArcResult.PASS, 2)


def test_a_chain_sealed_as_broken_ends_for_both() -> None:
    broken = chain_of(MESSAGE, FIRST, now=NOW) + b"footer\r\n"
    message = sealed(broken, SECOND, "fail", now=NOW)
    assert theirs_says(message) == "ended"
    assert validated(message, ZONE).result is ArcResult.FAIL
