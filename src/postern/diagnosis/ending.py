"""How a conversation ended, in one word, and what a command's exit status makes of it."""

from collections.abc import Iterable, Sequence
from enum import Enum

from postern.journal.record import Conversation


class Exit(Enum):
    """Exit status of ``why`` and ``trace``, in monitoring plugins' order."""

    OK = 0
    WARNING = 1
    PROBLEM = 2
    COULDNT_TELL = 3
    NOT_FOUND = 4


class Ending(Enum):
    """What became of a mail; the values are what is printed."""

    DELIVERED = "DELIVERED"
    NOTHING_SENT = "NOTHING SENT"
    JUNKED = "IN JUNK"
    HELD = "HELD"
    WAITING = "WAITING"
    UNKNOWN = "COULDN'T TELL"
    DISCARDED = "DISCARDED"
    REFUSED_FOR_NOW = "REFUSED FOR NOW"
    BOUNCED = "BOUNCED"
    REFUSED = "REFUSED"


_STATES = {
    "delivered": Ending.DELIVERED,
    "refused": Ending.REFUSED,
    "refused-for-now": Ending.REFUSED_FOR_NOW,
    "held": Ending.HELD,
    "junked": Ending.JUNKED,
    "waiting": Ending.WAITING,
    "bounced": Ending.BOUNCED,
    "discarded": Ending.DISCARDED,
}
_EXITS = {
    Ending.DELIVERED: Exit.OK,
    Ending.NOTHING_SENT: Exit.WARNING,
    Ending.JUNKED: Exit.WARNING,
    Ending.HELD: Exit.WARNING,
    Ending.WAITING: Exit.WARNING,
    Ending.UNKNOWN: Exit.COULDNT_TELL,
    Ending.DISCARDED: Exit.PROBLEM,
    Ending.REFUSED_FOR_NOW: Exit.PROBLEM,
    Ending.BOUNCED: Exit.PROBLEM,
    Ending.REFUSED: Exit.PROBLEM,
}
_WEIGHTS = {ending: weight for weight, ending in enumerate(Ending)}

# Refused before anyone was named there is no reply on file; these checks only ever answer 4xx.
_FOR_NOW = frozenset(
    {"greylist.wait", "system.overloaded", "rate.exceeded", "mailfrom.dns-timeout"}
)
_FOR_NOW_FACT = "couldnt-tell"


def state_ending(state: str) -> Ending:
    """The ending of a recipient's state; a word this version does not know is ``UNKNOWN``."""
    return _STATES.get(state, Ending.UNKNOWN)


def ending_of(conversation: Conversation) -> Ending:
    """The worst that happened to any of its recipients, or to the conversation as a whole."""
    if conversation.recipients:
        return worst(state_ending(recipient.state) for recipient in conversation.recipients)
    because = conversation.because
    if because is None:
        return Ending.UNKNOWN if conversation.accepted else Ending.NOTHING_SENT
    is_for_now = because.check in _FOR_NOW or because.check.endswith(_FOR_NOW_FACT)
    return Ending.REFUSED_FOR_NOW if is_for_now else Ending.REFUSED


def worst(endings: Iterable[Ending]) -> Ending:
    """The ending a person must hear of first."""
    return max(endings, key=_WEIGHTS.__getitem__, default=Ending.UNKNOWN)


def deciding(conversations: Sequence[Conversation]) -> Conversation | None:
    """The conversation that answers the question, of those found, newest first.

    Servers that were refused for now come back, so only the last word between each sender and
    recipient counts; of these the worst, and of several the newest.
    """
    last_words: dict[tuple[str, str], Conversation] = {}
    for conversation in conversations:
        for pair in _pairs(conversation):
            last_words.setdefault(pair, conversation)
    candidates = [c for c in conversations if any(c is last for last in last_words.values())]
    return max(candidates, key=lambda c: _WEIGHTS[ending_of(c)], default=None)


def exit_for(conversations: Sequence[Conversation], *, is_all_read: bool) -> Exit:
    """The exit status: of the deciding conversation, or why there is none."""
    conversation = deciding(conversations)
    if conversation is None:
        return Exit.NOT_FOUND if is_all_read else Exit.COULDNT_TELL
    return _EXITS[ending_of(conversation)]


def _pairs(conversation: Conversation) -> list[tuple[str, str]]:
    sender = conversation.mail_from.lower()
    named = [(sender, recipient.address.lower()) for recipient in conversation.recipients]
    return named or [(sender or conversation.client_ip, "")]
