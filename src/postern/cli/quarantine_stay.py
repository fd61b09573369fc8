"""How long held mail stays: what its owner was promised, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from postern.app.settings import hold_settings, told_check
from postern.cli.site import open_site
from postern.config.load import load
from postern.queue.quarantine import HeldMail
from postern.queue.store.tellings import TellingStore
from postern.runtime.clock import Instant, rfc3339


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a copy stays: when its owner was told, and from when on it may make room.

    ``safe_until`` None: not before its owner is told. ``until``: when it leaves at the latest; 0
    where that is not known.
    """

    told_at: Instant | None
    safe_until: Instant | None
    until: Instant

    @property
    def safe_text(self) -> str:
        """For people: a day."""
        return "untold" if self.safe_until is None else rfc3339(self.safe_until)[:10]

    @property
    def until_text(self) -> str:
        """For people: a day; it moves where nobody was told."""
        if not self.until:
            return "-"
        later = " or later" if self.safe_until is None else ""
        return f"{rfc3339(self.until)[:10]}{later}"


def stays_of(found: Sequence[HeldMail]) -> dict[tuple[int, int], Stay]:
    """How long each copy stays, by its key."""
    config = load(None)
    is_told = told_check(config)
    told_s = hold_settings(config, 1).told_s
    with open_site() as site:
        told = TellingStore(site.database).told([mail.key for mail in found])
    stays = {}
    for mail in found:
        told_at = told.get(mail.key)
        safe_until = None if is_told(mail.owner) else mail.held_at
        if told_at is not None:
            safe_until = told_at + told_s
        until = max(mail.until, safe_until or 0.0) if mail.until else 0.0
        stays[mail.key] = Stay(told_at, safe_until, until)
    return stays
