"""What a check found and what one recipient's rules made of it.

"Couldn't tell" is never "fail": it is a result of its own, in every table, metric and colour.
"""

from dataclasses import dataclass
from enum import Enum

from postern.mail.reply import Reply


class Result(Enum):
    """What a check found; the values are the words of ``postern why --json``."""

    PASS = "pass"  # noqa: S105 - a word of results, not a secret
    FAIL = "fail"
    NOTE = "note"
    COULDNT_TELL = "couldnt-tell"
    NOT_RUN = "not-run"


class Whose(Enum):
    """On whose side the cause lies, and so who can mend it."""

    SENDER = "sender"
    US = "us"
    BETWEEN = "between"
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact of a session.

    ``check`` is a stable id (``rcpt.unknown``), ``text`` one plain sentence without a full stop,
    ``seconds`` how long it took, ``place`` where it was seen from. ``could_be``: for "couldn't
    tell", the checks that might have failed; none named: any of its family.
    """

    check: str
    result: Result
    text: str
    whose: Whose = Whose.SENDER
    seconds: float = 0.0
    place: str = ""
    could_be: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """``spf`` of ``spf.fail``."""
        return self.check.partition(".")[0]

    def taking(self, seconds: float) -> "Finding":
        """The same, found in so many seconds."""
        return Finding(
            self.check, self.result, self.text, self.whose, seconds, self.place, self.could_be
        )


class Effect(Enum):
    """What becomes of the message for one recipient."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    REFUSE_FOR_NOW = "refuse-for-now"
    HOLD = "hold"
    JUNK = "junk"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Effect, its reason, and what the client is told. ``because`` is None only for ACCEPT.

    ``next``: checks that would refuse, one after the other, if ``because`` were waived.
    """

    effect: Effect
    reply: Reply
    because: Finding | None = None
    rule: str = ""
    next: tuple[str, ...] = ()
