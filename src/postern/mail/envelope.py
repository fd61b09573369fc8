"""The envelope: who a message is from, whom it is for, and what was asked of its transport.

Source: RFC 5321 §4.1.1.2-3 (paths), RFC 3461 (NOTIFY, ORCPT, RET, ENVID), RFC 6152 (BODY),
RFC 6531 (SMTPUTF8), RFC 1870 (SIZE).
"""

from dataclasses import dataclass
from enum import Enum, Flag

from postern.mail.address import Address


class BodyType(Enum):
    """What the sender declared of the body's octets (RFC 6152); wire words are the values."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Ret(Enum):
    """How much of the message a failure notice brings back (RFC 3461 §4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(Flag):
    """When the sender wants a notice for one recipient (RFC 3461 §4.1). No flag set is NEVER."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4


class TlsWish(Enum):
    """What a sender asked of TLS for one message, on all hops from here on."""

    NONE = "none"  # what the next hop's domain asks for
    OPTIONAL = "optional"  # rather in clear than not at all: "TLS-Required: No" (RFC 8689 §5)
    ENCRYPT = "encrypt"  # never in clear
    REQUIRETLS = "requiretls"  # verified, to servers that promise the same (RFC 8689)


@dataclass(frozen=True, slots=True)
class Sender:
    """MAIL FROM and its parameters. ``address`` None is the null sender ``<>``.

    ``prdr``: after the message the client wants an answer for each recipient (draft-hall-prdr).
    ``requiretls``: the parameter of RFC 8689 §2.
    """

    address: Address | None
    size_bytes: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    prdr: bool = False
    requiretls: bool = False

    def __str__(self) -> str:
        return "" if self.address is None else str(self.address)


@dataclass(frozen=True, slots=True)
class Recipient:
    """RCPT TO and its parameters.

    ``notify`` None means the sender did not say (RFC 3461 §4.1: FAILURE, and perhaps DELAY).
    ``orcpt`` is the decoded ``addr-type;address`` or None.
    """

    address: Address
    notify: Notify | None = None
    orcpt: str | None = None
