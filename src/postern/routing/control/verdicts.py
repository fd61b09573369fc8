"""What a canary's tries say of the direct path. Pure."""

from collections.abc import Sequence

from postern.journal.record import AttemptRecord
from postern.mail.outcome import Cause

_NETWORK = frozenset(
    cause.value for cause in (Cause.REFUSED, Cause.SILENT, Cause.RESET, Cause.CLOSED, Cause.TLS)
)


def canary(direct: Sequence[AttemptRecord]) -> bool | None:
    """True: a server took the message, or said why not; False: the network failed it; None: else.

    Args:
        direct: the tries that went straight to the mail hosts.
    """
    if any(one.outcome == "delivered" or one.cause == Cause.REPLY.value for one in direct):
        return True
    return False if any(one.cause in _NETWORK for one in direct) else None
