"""What can be set about the spool."""

from dataclasses import dataclass
from pathlib import Path


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

    @property
    def reserve_bytes(self) -> int:
        """Free space under which no new mail is accepted; delivery goes on."""
        return 2 * self.max_message_bytes + self.reserve_extra_bytes
