"""What can be set about greylisting."""

from dataclasses import dataclass
from enum import Enum

DAY_S = 86_400.0


class Mode(Enum):
    """Who is greylisted; the values are the words of the configuration."""

    OFF = "off"
    SUSPICIOUS = "suspicious"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class GreylistSettings:
    """How it is done.

    Attributes:
        wait_s: how long after its first try mail is not taken yet.
        retry_window_s: how long after its first try it must have come again.
        life_s: how long what passed stays known since it was last seen.
        passes_enough: a pool of clients that passed so often passes for all senders; 0: never.
        most: entries that are kept.
    """

    mode: Mode = Mode.SUSPICIOUS
    wait_s: float = 300.0
    retry_window_s: float = 2 * DAY_S
    life_s: float = 35 * DAY_S
    passes_enough: int = 5
    most: int = 1_000_000
