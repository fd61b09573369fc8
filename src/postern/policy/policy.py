"""What one worker judges by: the checks it runs, the rules of everybody, and their use."""

from dataclasses import dataclass, field

from postern.policy.checks.letter import Depth
from postern.policy.examiner import LetterCheck
from postern.policy.panel import Check
from postern.policy.rules.store import Books
from postern.policy.uses import Uses


@dataclass(frozen=True, slots=True)
class Policy:
    """One for each worker and configuration; ``books`` and ``uses`` outlive a reload.

    ``depth``: how far messages are looked into while they come in.
    """

    checks: tuple[Check, ...]
    letter_checks: tuple[LetterCheck, ...]
    books: Books
    uses: Uses
    depth: Depth = field(default_factory=Depth)
