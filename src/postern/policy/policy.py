"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from dataclasses import dataclass

from postern.policy.examiner import LetterCheck
from postern.policy.greylist.greylist import Greylist
from postern.policy.panel import Check
from postern.policy.rates import Rates
from postern.policy.rules.store import Books
from postern.policy.uses import Uses


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; ``books`` and ``uses`` outlive a reload.

    ``rates`` None: nothing is limited. ``greylist`` None: nobody is.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    books: Books
    uses: Uses
    rates: Rates | None = None
    greylist: Greylist | None = None
