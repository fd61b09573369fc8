"""TLSA records for SMTP: which of them can be used, and what in a certificate they speak of.

Source: RFC 6698 §2.1 (fields), RFC 7671 §9 (digests), RFC 7672 §3.1 (SMTP: DANE-TA and DANE-EE).
"""

from collections.abc import Iterable

from postern.mail.route import Tlsa

TRUST_ANCHOR, END_ENTITY = 2, 3
"""Usages DANE-TA and DANE-EE (RFC 7218 §2.1)."""
CERTIFICATE, PUBLIC_KEY = 0, 1
"""Selectors."""
FULL, SHA2_256, SHA2_512 = 0, 1, 2
"""Matching types."""
MAX_RECORDS = 32
MAX_DATA_BYTES = 16_384

_DIGEST_BYTES = {SHA2_256: 32, SHA2_512: 64}


def usable(records: Iterable[str]) -> tuple[Tlsa, ...]:
    """Those of an answer's TLSA records that a certificate can be held against.

    Not: the usages of public authorities (RFC 7672 §3.1.3), what nobody knows, data of the wrong
    length; and a weaker digest where the same is published with a stronger one (RFC 7671 §9).
    """
    good = [record for text in records if (record := _parse(text)) is not None]
    strongest: dict[tuple[int, int], int] = {}
    for record in good:
        key = (record.usage, record.selector)
        strongest[key] = max(record.matching, strongest.get(key, 0))
    kept = [
        record
        for record in dict.fromkeys(good)
        if record.matching in {FULL, strongest[(record.usage, record.selector)]}
    ]
    # In one order, whatever order DNS gives: equal demands share connections.
    kept.sort(key=lambda record: (-record.usage, record.selector, record.matching, record.data))
    return tuple(kept[:MAX_RECORDS])


def _parse(text: str) -> Tlsa | None:
    """A record as the resolver writes it (``3 1 1 ab…``); None where it cannot be used."""
    words = text.split()
    if len(words) < 4:
        return None
    try:
        usage, selector, matching = (int(word) for word in words[:3])
        data = bytes.fromhex("".join(words[3:]))
    except ValueError:
        return None
    if usage not in {TRUST_ANCHOR, END_ENTITY} or selector not in {CERTIFICATE, PUBLIC_KEY}:
        return None
    if matching == FULL:
        fits = 0 < len(data) <= MAX_DATA_BYTES
    else:
        fits = len(data) == _DIGEST_BYTES.get(matching)
    return Tlsa(usage, selector, matching, data) if fits else None
