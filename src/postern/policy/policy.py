"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from collections.abc import Callable
from dataclasses import dataclass, field

from postern.mail.address import Address
from postern.policy.checks.letter import Depth
from postern.policy.examiner import LetterCheck
from postern.policy.greylist.greylist import Greylist
from postern.policy.panel import Check
from postern.policy.rates import Rates
from postern.policy.rules.store import Books
from postern.policy.uses import Uses


def _knows_nobody(_mailbox_id: str, _address: Address) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; ``books`` and ``uses`` outlive a reload.

    ``rates`` None: nothing is limited. ``greylist`` None: nobody is. ``depth``: how far messages
    are looked into while they come in.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    books: Books
    uses: Uses
    knows: Callable[[str, Address], bool] = _knows_nobody
    """Whether a mailbox, by its id, has written to an address."""
    rates: Rates | None = None
    greylist: Greylist | None = None
    depth: Depth = field(default_factory=Depth)
