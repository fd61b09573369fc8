"""Whether a server's certificate is what its TLSA records say (DANE).

DANE-EE(3): the server's own certificate or key is that of a record; names, dates and issuers do
not matter (RFC 7672 §3.1.1). DANE-TA(2): it leads to the authority of a record, is valid now, and
is for one of the names that RFC 7672 §3.2.2 allows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256, sha512

from cryptography import x509

from postern.delivery.certificates import (
    NO_CERTIFICATE,
    Anchors,
    Distrust,
    load,
    name_flaw,
    path_flaw,
    public_key_der,
)
from postern.mail.route import Tlsa
from postern.mail.tlsa import CERTIFICATE, END_ENTITY, FULL, SHA2_256, TRUST_ANCHOR
from postern.mail.tlsrpt import TlsResult

NO_MATCH = Distrust(
    TlsResult.TLSA_INVALID, "has a certificate that none of its TLSA records stands for"
)


def dane_flaw(
    chain: Sequence[bytes], records: Iterable[Tlsa], names: Sequence[str], now: datetime
) -> Distrust | None:
    """None when the server is who its records say.

    Args:
        chain: its certificates in DER, its own first.
        records: at least one, all of them usable (``mail.tlsa.usable``).
        names: of RFC 7672 §3.2.2, for anchors.
        now: the date certificates must be valid at.
    """
    if not chain:
        return NO_CERTIFICATE
    ends = [record for record in records if record.usage == END_ENTITY]
    if any(_matches(record, chain[0]) for record in ends):
        return None
    authorities = [record for record in records if record.usage == TRUST_ANCHOR]
    return _anchor_flaw(chain, authorities, names, now) if authorities else NO_MATCH


def _anchor_flaw(
    chain: Sequence[bytes], records: Sequence[Tlsa], names: Sequence[str], now: datetime
) -> Distrust | None:
    leaf = load(chain[0])
    if leaf is None:
        return NO_CERTIFICATE
    trusted = [der for der in chain[1:] if any(_matches(record, der) for record in records)]
    # Records that hold all of a certificate or key: the server need not show it (RFC 7672 §3.1.2).
    whole = [record for record in records if record.matching == FULL]
    trusted += [record.data for record in whole if record.selector == CERTIFICATE]
    keys = tuple(record.data for record in whole if record.selector != CERTIFICATE)
    anchors = _loaded(trusted)
    if not anchors and not keys:
        return NO_MATCH
    found = Anchors(lambda name: [one for one in anchors if one.subject == name], keys)
    return path_flaw([leaf, *_loaded(chain[1:])], found, now) or name_flaw(
        leaf, names, or_common=True
    )


def _loaded(certificates: Iterable[bytes]) -> list[x509.Certificate]:
    """Those that can be read."""
    return [one for der in certificates if (one := load(der)) is not None]


def _matches(record: Tlsa, certificate: bytes) -> bool:
    """RFC 6698 §2.1.3, §2.1.4."""
    if record.selector == CERTIFICATE:
        data = certificate
    else:
        try:
            data = public_key_der(certificate)
        except ValueError:
            return False
    if record.matching == FULL:
        return record.data == data
    digest = sha256 if record.matching == SHA2_256 else sha512
    return record.data == digest(data).digest()
