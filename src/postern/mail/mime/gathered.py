"""What is known so far of a message's parts, those of messages inside it too."""

from postern.mail.mime.ledger import Ledger
from postern.mail.mime.part import Fault, Limits, Part, What

MAX_DELIMITERS = 4
"""For each part that there may be; closing ones, and those that begin none, count as well."""
_TOO_MANY_PARTS = "the message has more parts than are looked at"
TOO_MANY_BOUNDARIES = "the message has more boundaries than are looked for"


class Gathered:
    """What is known so far, of messages inside the message too."""

    __slots__ = (
        "count",
        "delimiters",
        "faults",
        "is_full",
        "ledger",
        "limits",
        "open_mails",
        "parts",
        "types",
    )

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self.limits = limits
        self.ledger = ledger
        self.parts: list[Part] = []
        self.types: set[str] = set()
        self.faults: set[Fault] = set()
        self.count = 0
        self.delimiters = 0
        self.open_mails = 0
        self.is_full = False  # nothing more is looked at

    def stop(self, why: str, within: tuple[str, ...]) -> None:
        """Look at nothing more of the message: told, for it may hold anything."""
        if not self.is_full:
            self.is_full = True
            self.ledger.tell(What.UNREADABLE, "", within, why)

    def stop_at_parts(self, within: tuple[str, ...]) -> None:
        """There are too many parts."""
        self.faults.add(Fault.TOO_MANY_PARTS)
        self.stop(_TOO_MANY_PARTS, within)

    def may_delimit(self, within: tuple[str, ...]) -> bool:
        """True while one delimiter more may be looked at."""
        self.delimiters += 1
        if self.delimiters > MAX_DELIMITERS * self.limits.parts:
            self.stop_at_parts(within)
        return not self.is_full
