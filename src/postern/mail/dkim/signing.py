"""Signs one message while it goes by: its header first, then its body in pieces."""

from collections.abc import Sequence

from postern.mail.dkim.body import BodyHasher
from postern.mail.dkim.fields import HeaderFields
from postern.mail.dkim.sign import Signer, sign_all


class Signing:
    """Memory does not grow with the message.

    Args:
        signers: one at least.
        head: the first octets as they will be sent, the whole header at least.
        header_end: where the body begins.
    """

    __slots__ = ("_fields", "_hasher", "_signers")

    def __init__(self, signers: Sequence[Signer], head: bytes, header_end: int) -> None:
        self._signers = signers
        self._fields = HeaderFields(head)
        self._hasher = BodyHasher({signer.form for signer in signers})
        self._hasher.feed(head[header_end:])

    def feed(self, piece: bytes) -> None:
        """The next octets of the body."""
        self._hasher.feed(piece)

    def finish(self, now: float) -> bytes:
        """The DKIM-Signature fields to put in front, with CR LF; nothing for an overlong header."""
        return sign_all(self._signers, self._fields, self._hasher.finish(), now)
