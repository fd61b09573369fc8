"""How often rules were of use: counted in memory, written down by whoever has the time."""

from collections.abc import Iterable, Mapping

from postern.policy.judge import Judgement
from postern.runtime.clock import Instant


class Uses:
    """By the id of a rule, how often it changed what became of a message, and when last."""

    def __init__(self) -> None:
        self._uses: dict[str, tuple[int, Instant]] = {}

    def note(self, judgements: Iterable[Judgement], now: Instant) -> None:
        """The judgements of one message: each rule in them counts once, those that waived too."""
        ids = set()
        for judgement in judgements:
            rules = [judgement.rule, *(one.waived_by for one in judgement.weighed)]
            ids |= {rule.id for rule in rules if rule is not None}
        for key in ids:
            hits, _ = self._uses.get(key, (0, now))
            self._uses[key] = (hits + 1, now)

    def take(self) -> Mapping[str, tuple[int, Instant]]:
        """All since the last call."""
        uses, self._uses = self._uses, {}
        return uses
