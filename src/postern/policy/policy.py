"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from collections.abc import Callable
from dataclasses import dataclass

from postern.mail.address import Address
from postern.policy.examiner import LetterCheck
from postern.policy.panel import Check
from postern.policy.rules.store import Books
from postern.policy.scanners.scanners import Scanners
from postern.policy.uses import Uses


def _knows_nobody(_mailbox_id: str, _address: Address) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; ``books`` and ``uses`` outlive a reload.

    ``scanners`` None: none is configured.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    books: Books
    uses: Uses
    knows: Callable[[str, Address], bool] = _knows_nobody
    """Whether a mailbox, by its id, has written to an address."""
    scanners: Scanners | None = None
