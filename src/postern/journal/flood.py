"""Which refused conversations are only counted while a flood fills the day's files.

Accepted mail never comes here. Below the day's share everything is written whole; above it only
what still says something new; at twice the share nothing that was refused. The counters live one
hour and in bounded memory: once they are full, strangers count as talkative.
"""

from enum import Enum

from postern.journal.keys import ip_bytes
from postern.journal.record import Conversation
from postern.journal.settings import JournalSettings

MAX_COUNTERS = 65_536
_HOUR_S = 3600
_V4_BYTES = b"\0" * 10 + b"\xff\xff"


class Pressure(Enum):
    """How full the day's files are."""

    NONE = 0
    OVER_SHARE = 1
    OVER_TWICE = 2


class FloodGate:
    """Counts, per hour, how often a client said what it says again."""

    def __init__(self, settings: JournalSettings) -> None:
        self._settings = settings
        self._hour = 0
        self._counts: dict[int, int] = {}

    def pressure(self, day_bytes: int) -> Pressure:
        """The pressure when one worker's files of today hold ``day_bytes``."""
        share = self._settings.worker_share_bytes
        if day_bytes < share:
            return Pressure.NONE
        return Pressure.OVER_SHARE if day_bytes < 2 * share else Pressure.OVER_TWICE

    def folds(self, conversation: Conversation, pressure: Pressure) -> bool:
        """Whether this refused conversation is to be counted instead of written."""
        if pressure is Pressure.NONE or conversation.accepted:
            return False
        if pressure is Pressure.OVER_TWICE:
            return True
        hour = int(conversation.at // _HOUR_S)
        if hour != self._hour:
            self._hour = hour
            self._counts.clear()
        client = client_of(conversation.client_ip)
        by_client = self._count(hash(client))
        by_kind = self._count(hash((client, _says(conversation))))
        return (
            by_client > self._settings.whole_per_client_an_hour
            or by_kind > self._settings.whole_alike_an_hour
        )

    def _count(self, key: int) -> int:
        count = self._counts.get(key, 0) + 1
        if count == 1 and len(self._counts) >= MAX_COUNTERS:
            return self._settings.whole_per_client_an_hour + 1
        self._counts[key] = count
        return count


def client_of(client_ip: str) -> bytes:
    """Who is counted as one: an IPv4 address, or an IPv6 /64 (one household owns 2^64)."""
    packed = ip_bytes(client_ip)
    return packed if packed.startswith(_V4_BYTES) else packed[:8]


def _says(conversation: Conversation) -> tuple[str, str, tuple[str, ...]]:
    check = conversation.because.check if conversation.because else ""
    recipients = tuple(recipient.address for recipient in conversation.recipients[:10])
    return check, conversation.mail_from, recipients
