"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from dataclasses import dataclass

from postern.policy.examiner import LetterCheck
from postern.policy.panel import Check
from postern.policy.rules.store import Books
from postern.policy.untold.patience import Patience
from postern.policy.uses import Uses


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; ``books``, ``uses``, ``patience`` outlive a reload.

    ``patience`` None: what DNS does not tell is waited for, however long.
    ``help_url``: see ``answers.answer``.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    books: Books
    uses: Uses
    patience: Patience | None = None
    help_url: str = ""
