"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from collections.abc import Callable
from dataclasses import dataclass, field

from postern.mail.address import Address
from postern.policy.checks.letter import Depth
from postern.policy.examiner import LetterCheck
from postern.policy.greylist.greylist import Greylist
from postern.policy.greylist.keeper import GreylistKeeper
from postern.policy.panel import Check
from postern.policy.rates import Rates
from postern.policy.rules.store import Books
from postern.policy.scanners.scanners import Scanners
from postern.policy.untold.patience import Patience
from postern.policy.uses import Uses
from postern.runtime.ratetable import RateTable


def _knows_nobody(_mailbox_id: str, _address: Address) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Memory:
    """What a worker knows, whatever its configuration.

    Attributes:
        books: everybody's rules.
        uses: how often they were of use.
        knows: whether a mailbox, by its id, has written to an address.
        patience: whom DNS keeps waiting; None: what it does not tell is waited for, however long.
        keeper: who was asked to come again; None: nobody is.
        rates: what was counted, by all workers.
    """

    books: Books
    uses: Uses
    knows: Callable[[str, Address], bool] = _knows_nobody
    patience: Patience | None = None
    keeper: GreylistKeeper | None = None
    rates: RateTable | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; what ``memory`` holds outlives a reload.

    ``rates`` None: nothing is limited. ``greylist`` None: nobody is. ``depth``: how far messages
    are looked into while they come in. ``help_url``: see ``answers.answer``. ``scanners`` None:
    none is configured.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    memory: Memory
    rates: Rates | None = None
    greylist: Greylist | None = None
    depth: Depth = field(default_factory=Depth)
    help_url: str = ""
    scanners: Scanners | None = None
