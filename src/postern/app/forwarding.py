"""Keeps a worker's resolver in step with the forward zones that people made."""

import asyncio

import structlog

from postern.app.outward import Outward
from postern.routing.zones.store import ForwardZoneStore
from postern.runtime.database.trouble import DatabaseTroubleError
from postern.runtime.resolver.forward import ForwardZones

log = structlog.get_logger("postern.worker")

AGAIN_S = 1.0


class Forwarding:
    """Reads them anew whenever the database changed, and after a reload."""

    def __init__(self, store: ForwardZoneStore, outward: Outward) -> None:
        self._store = store
        self._outward = outward
        self._zones = ForwardZones()
        self._is_waiting = False
        self.refresh()

    def serve(self, outward: Outward) -> None:
        """From now on a new set of rooms is the one that looks things up."""
        self._outward = outward
        outward.resolver.forward(self._zones)

    def refresh(self) -> None:
        """Read them; what the database does not tell now is asked again in a moment, and once."""
        if self._is_waiting:
            return
        try:
            self._zones = self._store.active()
        except DatabaseTroubleError as error:
            log.warning("worker.forward_zones", text=str(error))
            self._is_waiting = True
            asyncio.get_running_loop().call_later(AGAIN_S, self._again)
            return
        if self._outward.resolver.forward(self._zones):
            self._outward.router.forget()

    def _again(self) -> None:
        self._is_waiting = False
        self.refresh()
