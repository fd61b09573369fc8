"""All listeners of one worker: opened on the supervisor's sockets, watched, reloaded, closed."""

import asyncio
import functools
import socket
from collections.abc import Sequence

import structlog

from postern.reception.doors import Door, Doors
from postern.reception.limits import ConnectionCounts
from postern.reception.port import OpenConnection, Port
from postern.reception.proxied import accept
from postern.reception.services import Services
from postern.reception.settings import ListenerSettings
from postern.reception.tls import Certificates
from postern.runtime.headcount import Headcount

log = structlog.get_logger("postern.reception")

SWEEP_S = 2.0
STOP_POLL_S = 0.05


class Reception:
    """Where connections come in."""

    def __init__(
        self, services: Services, certificates: Certificates, headcount: Headcount
    ) -> None:
        self._services = services
        self._certificates = certificates
        settings = services.settings
        self.counts = ConnectionCounts(
            settings.connections, settings.connections_per_address, headcount, settings.worker
        )
        self._ports: list[Port] = []
        self._doors = Doors(self.counts)
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self, listeners: Sequence[tuple[ListenerSettings, socket.socket]]) -> None:
        """Accept connections on sockets that are already bound and listening."""
        for listener, sock in listeners:
            port = Port(self._services, listener, self._certificates, self.counts)
            self._ports.append(port)
            await self._doors.open(Door(sock, functools.partial(accept, port), listener.is_unix))
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._keep_looking)

    def reload(self, services: Services, certificates: Certificates) -> None:
        """Serve new connections with other settings and certificates."""
        self._services = services
        self._certificates = certificates
        settings = services.settings
        self.counts.allow(settings.connections, settings.connections_per_address)
        for port in self._ports:
            port.reload(services, certificates)

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let messages under way come to their end, then cut."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._doors.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        for connection in self._open():
            connection.leave()
        while (left := self._open()) and loop.time() < until:
            await asyncio.sleep(STOP_POLL_S)
            for connection in left:
                connection.leave()
        for connection in self._open():
            connection.abort()

    def _open(self) -> list[OpenConnection]:
        return [connection for port in self._ports for connection in port.connections]

    def look_at_clocks(self) -> None:
        """Send away who is silent or stays too long."""
        now = self._services.clock.monotonic()
        for connection in self._open():
            connection.look_at_clock(now)

    def _keep_looking(self) -> None:
        try:
            self.look_at_clocks()
        except Exception:
            log.exception("reception.bug")
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._keep_looking)
