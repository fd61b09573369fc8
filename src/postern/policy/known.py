"""Whether mail is from somebody its recipient has written to: proven, or still to be proven."""

from collections.abc import Callable

from postern.mail.address import Address
from postern.policy.rules.match import Facts, is_proven

MAX_ASKED = 10
"""Authors of one message that are looked for: it has one."""

HasWritten = Callable[[Address], bool]
"""Whether a mailbox's owner has written to an address; may raise ``DatabaseTroubleError``."""


def has_written_to_nobody(_address: Address) -> bool:
    """Where nothing is known of whom the owner wrote to."""
    return False


def is_from_known(facts: Facts, has_written: HasWritten) -> bool:
    """True when it is proven to come from somebody the recipient has written to."""
    named = [] if facts.mail_from is None else [facts.mail_from]
    named += facts.header_from or ()
    proven = (one for one in dict.fromkeys(named[:MAX_ASKED]) if is_proven(one, facts.proven))
    return any(map(has_written, proven))


def may_be_from_known(facts: Facts, has_written: HasWritten) -> bool:
    """True while DKIM could still prove that the envelope's sender is such a one.

    Only the envelope's sender can make a refusal wait: who else the header will name nobody
    knows, and every refusal would wait for it.
    """
    sender = facts.mail_from
    return not facts.has_header and sender is not None and has_written(sender)
