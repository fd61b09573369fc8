"""Keeps a worker's queue in step with what people suspended."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from postern.queue.gates import Gates
from postern.queue.request import Action, Request, Tally
from postern.queue.suspension import Suspension
from postern.runtime.database.trouble import DatabaseTroubleError

log = structlog.get_logger("postern.queue")

AGAIN_S = 1.0
WORDS = frozenset({Action.SUSPEND, Action.RESUME})
"""What is asked of the groups, and not of their mail."""


class Suspensions(Protocol):
    """Where they are kept."""

    def active(self) -> Mapping[str, Suspension]:
        """Those that hold now, by group."""
        ...


class Suspending:
    """Reads them anew whenever the database changed, or somebody says so."""

    def __init__(self, kept: Suspensions, gates: Gates) -> None:
        self._kept = kept
        self._gates = gates
        self._is_waiting = False

    def refresh(self) -> None:
        """Read them; what the database does not tell now is asked again in a moment, and once."""
        if self._is_waiting:
            return
        try:
            found = self._kept.active()
        except DatabaseTroubleError as error:
            log.warning("queue.suspensions", text=str(error))
            self._is_waiting = True
            asyncio.get_running_loop().call_later(AGAIN_S, self._again)
            return
        self._gates.suspend(found)

    def _again(self) -> None:
        self._is_waiting = False
        self.refresh()

    def carry_out(self, request: Request) -> Tally:
        """Take up what was written before the request was; a resumed group goes in any case."""
        self.refresh()
        freed = request.action is Action.RESUME and self._gates.resume(request.filter.group)
        return Tally(count=int(freed), is_done=True)
