"""What can be set about the spool."""

from dataclasses import dataclass, field
from pathlib import Path

LEAST_MESSAGES = 50
LEAST_BYTES = 64 * 1024 * 1024
"""A worker's part of a mailbox's bound is no smaller, unless the bound itself is: with many workers
it would be full while next to nothing is held. So the host may hold that much more."""


@dataclass(frozen=True, slots=True)
class HoldSettings:
    """How long mail is held for its owner, and how much of it.

    ``told_s``: how long an owner has at least after the letter that names a message was delivered.
    ``most_messages`` and ``most_bytes`` are for one mailbox on the whole host.
    """

    keep_s: float = 30 * 86_400.0
    told_s: float = 7 * 86_400.0
    most_messages: int = 1_000
    most_bytes: int = 512 * 1024 * 1024
    workers: int = 1

    @property
    def worker_messages(self) -> int:
        """Messages that one worker may hold for a mailbox."""
        return max(self.most_messages // self.workers, min(self.most_messages, LEAST_MESSAGES))

    @property
    def worker_bytes(self) -> int:
        """Octets that one worker may hold for a mailbox, beside the first message."""
        return max(self.most_bytes // self.workers, min(self.most_bytes, LEAST_BYTES))


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where accepted mail is kept, and how much room it leaves."""

    folder: Path
    corrupt_folder: Path
    max_message_bytes: int = 50 * 1024 * 1024
    inline_bytes: int = 64 * 1024
    gather_s: float = 0.005
    ride_s: float = 0.005
    handover_s: float = 0.25
    reserve_extra_bytes: int = 256 * 1024 * 1024
    ballast_bytes: int = 64 * 1024 * 1024
    hold: HoldSettings = field(default_factory=HoldSettings)

    @property
    def reserve_bytes(self) -> int:
        """Free space under which no new mail is accepted; delivery goes on."""
        return 2 * self.max_message_bytes + self.reserve_extra_bytes
