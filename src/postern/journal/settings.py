"""How long and how much the journal keeps."""

from dataclasses import dataclass

_GIB = 1 << 30
LONGEST_LOG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Retention and the disk budget; the numbers a person may set.

    ``day_share`` is the part of the budget that one day's files of all workers may fill before
    refused conversations that say nothing new are only counted; at twice that share every refused
    conversation is. ``whole_alike_an_hour`` is how many of one kind (same client, same check, same
    envelope) are still written whole in an hour then, ``whole_per_client_an_hour`` how many of one
    client, whatever they say. ``workers`` divides the share.
    """

    keep_days: int = 30
    transcript_days: int = 7
    budget_bytes: int = 2 * _GIB
    day_share: float = 0.25
    whole_alike_an_hour: int = 5
    whole_per_client_an_hour: int = 100
    workers: int = 1

    @property
    def worker_share_bytes(self) -> int:
        """What one worker's files of one day may hold before folding begins."""
        return int(self.budget_bytes * self.day_share / max(1, self.workers))

    @property
    def log_bytes(self) -> int:
        """How long SQLite's log of one file grows before it is written back.

        A worker writes two files at a time, and of a small budget their logs must not take half.
        """
        return min(LONGEST_LOG_BYTES, self.budget_bytes // (64 * max(1, self.workers)))
