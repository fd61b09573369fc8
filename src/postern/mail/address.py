"""Mail addresses as values (RFC 5321 §4.1.2-3, RFC 6531)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox.

    ``local`` is the local part without quotes or escapes; ``domain`` is lower-case A-labels, or an
    address literal with its brackets such as ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``; empty only
    for the bare ``<postmaster>`` of RFC 5321 §4.5.1.
    """

    local: str
    domain: str
