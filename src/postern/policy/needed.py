"""Whether a rule that lets mail through is still needed: the mail it is about, without it."""

from dataclasses import dataclass

from postern.journal.decisions import DecisionReader
from postern.policy.preview import about
from postern.policy.replay import Replay
from postern.policy.rules.rule import Rule

LAST = 12
"""So many of the newest mails are looked at."""
ENOUGH = 5
"""Of fewer nobody can tell."""


@dataclass(frozen=True, slots=True)
class StillNeeded:
    """Of the last ``mails`` that the rule is about, how many would have passed without it."""

    mails: int
    anyway: int

    @property
    def can_end(self) -> bool:
        """True when it can be ended, by all that is known."""
        return self.mails >= ENOUGH and self.anyway == self.mails


def still_needed(reader: DecisionReader, replay: Replay, rule: Rule, since: float) -> StillNeeded:
    """Judge the newest mails that ``rule`` is about as if it had ended.

    ``replay`` has ``Ended(rule)`` for its change.
    """
    mails = anyway = 0
    query = about(rule, since)
    for file in reader.files(since):
        for rows in reader.transactions(file, query):
            for one in replay.transaction(rows):
                if not one.is_about:
                    continue
                mails += 1
                anyway += not one.is_changed
                if mails == LAST:
                    return StillNeeded(mails, anyway)
    return StillNeeded(mails, anyway)
