"""Accounts that may send nothing for now: a stolen password does no more harm."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from postern.mail.address import Address
from postern.measures.temporary import Temporary
from postern.runtime.clock import Clock, SystemClock
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.directory")


@dataclass(frozen=True, slots=True)
class Freeze:
    """One account that is frozen, with its label (``F1``), its reason, author and end.

    ``is_new``: whoever asked for it was the first.
    """

    label: str
    account: Address
    temporary: Temporary
    is_new: bool = field(default=False, compare=False)


class Frozen:
    """Which accounts are frozen, as a worker asks it; read anew after each change.

    ``read``: all that hold. ``forget`` belongs to ``Directory.on_change``. ``thawed`` is told of
    accounts that are frozen no more.
    """

    def __init__(
        self,
        read: Callable[[], list[Freeze]],
        clock: Clock,
        thawed: Callable[[Address], None] | None = None,
    ) -> None:
        self._read = read
        self._clock = clock
        self._thawed = thawed
        self._known: dict[Address, Freeze] = {}
        self._is_stale = True

    def forget(self) -> None:
        """Something in the directory changed."""
        self._is_stale = True

    def of(self, account: Address) -> Freeze | None:
        """The freeze that holds for an account, or None.

        While the database does not answer what was last known holds.
        """
        if self._is_stale:
            self._renew()
        found = self._known.get(account)
        if found is None or not found.temporary.is_active(self._clock.now()):
            return None
        return found

    def _renew(self) -> None:
        try:
            fresh = {freeze.account: freeze for freeze in self._read()}
        except DatabaseTroubleError as error:
            log.warning("directory.no_freezes", error=str(error))
            return
        gone = self._known.keys() - fresh.keys()
        self._known, self._is_stale = fresh, False
        for account in gone:
            if self._thawed is not None:
                self._thawed(account)


def nobody_frozen() -> Frozen:
    """For a server without accounts."""
    return Frozen(list, SystemClock())
