"""What can be set about notices."""

from dataclasses import dataclass
from datetime import UTC, tzinfo


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Names, times and limits of what Postern writes itself.

    ``site`` is the name people know ("host.example"), ``support`` whom they can ask, empty for
    ``postmaster@site``; ``timezone`` is for the words, reports for programs are in UTC.
    ``per_sender_per_hour`` and ``unproven_per_hour`` bound notices to senders outside,
    ``letters_per_hour`` those to one mailbox about mail held for it; each worker counts for itself.
    """

    hostname: str
    site: str = ""
    support: str = ""
    timezone: tzinfo = UTC
    full_original_bytes: int = 50_000
    full_on_request_bytes: int = 1024 * 1024
    delay_after_s: float = 4 * 3600.0
    delay_blocked_after_s: float = 3600.0
    per_sender_per_hour: int = 20
    unproven_per_hour: int = 200
    letters_per_hour: int = 5
    remembered_senders: int = 10_000

    @property
    def site_name(self) -> str:
        """The name people know."""
        return self.site or self.hostname

    @property
    def support_address(self) -> str:
        """Whom people can ask."""
        return self.support or f"postmaster@{self.site_name}"
